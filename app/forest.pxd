# C types for forest.py, read when it is compiled. Locals that are not named here have the type of what they are
# assigned; arrays are typed where they are passed.
cimport cython
cimport libc.math as math
from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef double GOES_RIGHT, GOES_LEFT
ctypedef Py_ssize_t eight[8]


cdef class Forest:
    cdef readonly Py_ssize_t n_features, n_trees, n_nodes
    cdef readonly double reach
    cdef double _base, _divisor
    cdef uint32_t[::1] _roots
    # the plain build's
    cdef object _slot, _right, _value
    # the compiled build's
    cdef uint32_t[::1] _words
    cdef float[::1] _floats
    cdef double[::1] _leaves

    @cython.locals(no_slot=uint32_t, is_near=bint, n_leaves=Py_ssize_t, unsound=bint, end=Py_ssize_t,
                   i=Py_ssize_t, step=uint32_t, number=double, is_leaf=bint, largest=double)
    cdef _pack(self, const uint8_t[::1] slot, const uint16_t[::1] near, const uint32_t[::1] far,
                const float[::1] short, const double[::1] full, const uint32_t[::1] ends)

    @cython.locals(at=eight, row=eight)
    cdef _walk_abreast(self, const double[::1] rows, Py_ssize_t first, Py_ssize_t n, float[::1] slots,
                        double[::1] sums, double[::1] means, double[::1] spreads)

    @cython.locals(k=Py_ssize_t)
    cdef inline void _fill(self, const double[::1] rows, Py_ssize_t first, Py_ssize_t n, float[::1] slots,
                           double[::1] sums) noexcept

    @cython.locals(word=uint32_t, left=uint32_t, step=uint32_t, moved=uint32_t)
    cdef inline void _settle(self, float[::1] slots, Py_ssize_t* at, Py_ssize_t* row) noexcept

    @cython.locals(leaf=double, number=Py_ssize_t)
    cdef inline void _add(self, double[::1] sums, Py_ssize_t r, Py_ssize_t tree, Py_ssize_t i) noexcept
