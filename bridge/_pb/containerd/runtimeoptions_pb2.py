"""Options of any other shim.

Generated from containerd/runtimeoptions.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/runtimeoptions.proto
    b'\n\x1fcontainerd/runtimeoptions.proto\x12\x11runti'
    b'meoptions.v1b\x06proto3'
    # message Options
    b'"E\n\x07Options\x12\x10\n\x08type_url\x18\x01 \x01(\t\x12\x13\n\x0bconfig_'
    b'path\x18\x02 \x01(\t\x12\x13\n\x0bconfig_body\x18\x03 \x01(\x0c',
)
