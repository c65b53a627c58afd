"""Options of the runc shim, io.containerd.runc.v2; crun and other runtimes driven by it take the same.

Generated from containerd/runc.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/runc.proto
    b'\n\x15containerd/runc.proto\x12\x12containerd.runc'
    b'.v1b\x06proto3'
    # message Options
    b'"\x9b\x02\n\x07Options\x12\x15\n\rno_pivot_root\x18\x01 \x01(\x08\x12\x16\n\x0en'
    b'o_new_keyring\x18\x02 \x01(\x08\x12\x13\n\x0bshim_cgroup\x18\x03 \x01(\t'
    b'\x12\x0e\n\x06io_uid\x18\x04 \x01(\r\x12\x0e\n\x06io_gid\x18\x05 \x01(\r\x12\x13\n\x0bbina'
    b'ry_name\x18\x06 \x01(\t\x12\x0c\n\x04root\x18\x07 \x01(\t\x12\x16\n\x0esystemd_c'
    b'group\x18\t \x01(\x08\x12\x17\n\x0fcriu_image_path\x18\n \x01(\t\x12\x16\n\x0e'
    b'criu_work_path\x18\x0b \x01(\t\x12\x1c\n\x10task_api_address'
    b'\x18\x0c \x01(\tB\x02\x18\x01\x12\x1c\n\x10task_api_version\x18\r \x01(\rB\x02\x18\x01'
    b'J\x04\x08\x08\x10\t'
    # message CheckpointOptions
    b'"\xe4\x01\n\x11CheckpointOptions\x12\x0c\n\x04exit\x18\x01 \x01(\x08\x12\x10\n\x08'
    b'open_tcp\x18\x02 \x01(\x08\x12\x1d\n\x15external_unix_sockets\x18'
    b'\x03 \x01(\x08\x12\x10\n\x08terminal\x18\x04 \x01(\x08\x12\x12\n\nfile_locks\x18\x05 '
    b'\x01(\x08\x12\x18\n\x10empty_namespaces\x18\x06 \x03(\t\x12\x14\n\x0ccgroups'
    b'_mode\x18\x07 \x01(\t\x12\x12\n\nimage_path\x18\x08 \x01(\t\x12\x11\n\twork_'
    b'path\x18\t \x01(\t\x12\x13\n\x0bparent_path\x18\n \x01(\t'
    # message ProcessDetails
    b'"!\n\x0eProcessDetails\x12\x0f\n\x07exec_id\x18\x01 \x01(\t',
)
