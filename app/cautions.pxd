# C types for cautions.py, read when it is compiled.
cimport cython


cdef class Cautions:
    cdef double[::1] box, lows, highs, least, most
    cdef Py_ssize_t[::1] columns, over, under
    cdef list fields, ratios
    cdef Py_ssize_t density_column
    cdef double least_density, usual_spread

    @cython.locals(latitude=double, longitude=double, value=double, built=double, usable=double, ratio=double,
                   i=Py_ssize_t, covered=bint)
    cpdef list about(self, double[::1] rows, Py_ssize_t at, double spread)
