# Attributes that the interpreter reads at their place in the object, without a call: properties of Cython are calls.

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        const char* name
        int type
        Py_ssize_t offset
        int flags
        const char* doc
    int T_OBJECT_EX
    int READONLY

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        void* tp_dict
    object PyDescr_NewMember(PyTypeObject* owner, PyMemberDef* member)
    void PyType_Modified(PyTypeObject* owner)


cdef inline int add_member(type owner, PyMemberDef* member, const char* name, Py_ssize_t offset, const char* doc) except -1:
    """Give instances an attribute, a reference at `offset` of them. `member` has to outlive the type."""
    cdef PyTypeObject* changed = <PyTypeObject*>owner
    member.name, member.doc = name, doc
    member.type, member.offset, member.flags = T_OBJECT_EX, offset, READONLY
    (<dict>changed.tp_dict)[name.decode()] = PyDescr_NewMember(changed, member)
    PyType_Modified(changed)
    return 0
