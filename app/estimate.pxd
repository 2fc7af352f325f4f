# C types for estimate.py, read when it is compiled.
cimport cython
cimport libc.math as math
from app.cautions cimport Cautions

cdef double _MOST


cdef class Calibration:
    cdef double[::1] factors
    cdef double floor, confidence


@cython.locals(width=Py_ssize_t, hedonic=Py_ssize_t, age=Py_ssize_t, usable=Py_ssize_t, condition=Py_ssize_t,
               at=Py_ssize_t, i=Py_ssize_t, unknown=Py_ssize_t, log_price=double, spread=double, reach=double)
cpdef list estimates(double[::1] rows, double[::1] corrections, double[::1] spreads, Cautions cautions,
                     Calibration calibration)

cpdef double euro(double log_price) except -1
