# C types for features.py, read when it is compiled.
cimport cython
cimport libc.math as math
from app.surface cimport PriceSurface

cdef double SMALLEST, LARGEST, MOST_ROOMS, LEAST_USABLE, MOST_USABLE, _TYPICAL_LOG_SURFACE


@cython.locals(x=double, y=double, at=Py_ssize_t, width=Py_ssize_t, place=Py_ssize_t, home=tuple,
               scratch="double[::1]", rows="double[::1]")
cpdef object matrix(object homes, PriceSurface surface)

@cython.locals(score=double, i=Py_ssize_t, place=Py_ssize_t, hedonic=Py_ssize_t, n_terms=Py_ssize_t)
cpdef object fill(tuple home, double x, double y, double[::1] coefficients, double[::1] scratch, double[::1] rows,
                  Py_ssize_t at)

cpdef object fields(tuple home, double[::1] rows, Py_ssize_t at)

@cython.locals(built=double, baths=double, rooms=double, age=double, usable=double, condition=double, size=double)
cpdef object terms(double[::1] rows, Py_ssize_t at, double[::1] out, Py_ssize_t to)

cpdef double age_band(double years) except -1
