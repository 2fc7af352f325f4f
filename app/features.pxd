# C types for features.py, read when it is compiled.
cimport cython
from app.surface cimport PriceSurface


@cython.locals(x=double, y=double, at=Py_ssize_t, width=Py_ssize_t, place=Py_ssize_t, home=tuple)
cpdef object matrix(object homes, PriceSurface surface)

@cython.locals(score=double, term=double, i=Py_ssize_t, place=Py_ssize_t, hedonic=Py_ssize_t)
cpdef object fill(tuple home, double x, double y, double[::1] coefficients, double[::1] rows, Py_ssize_t at)

@cython.locals(size=double, band=double)
cpdef list terms(tuple home)

cpdef double age_band(double years) except -1
