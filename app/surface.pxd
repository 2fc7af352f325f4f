# C types for surface.py, read when it is compiled.
cimport cython
from libc.stdint cimport uint8_t, uint16_t


cdef class Grid:
    cdef readonly double spacing, west, south
    cdef readonly Py_ssize_t columns, rows
    cdef readonly const uint16_t[::1] index
    cdef readonly const uint8_t[::1] nodes
    cdef readonly double[::1] low, step

    @cython.locals(
        side=Py_ssize_t, nodes=Py_ssize_t, channels=Py_ssize_t, channel=Py_ssize_t, block=Py_ssize_t,
        i=Py_ssize_t, j=Py_ssize_t, a=Py_ssize_t, b=Py_ssize_t, u=double, v=double, south=double, north=double,
    )
    cpdef bint fill(self, double x, double y, double[::1] out, Py_ssize_t at) except -1


cdef class PriceSurface:
    cdef readonly list grids
    cdef readonly double[::1] means, coefficients

    @cython.locals(wider=Py_ssize_t, level=Py_ssize_t, here=Py_ssize_t, channel=Py_ssize_t, channels=Py_ssize_t, grid=Grid)
    cpdef object fill(self, double x, double y, double[::1] out, Py_ssize_t at)
