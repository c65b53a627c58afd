"""Sources, destinations and stream messages of the Transfer service. All since 1.7.0 unless said otherwise.
They travel inside google.protobuf.Any, whose type URL must be the bare full name.

Generated from containerd/transfer.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/transfer.proto
    b'\n\x19containerd/transfer.proto\x12\x19containerd.'
    b'types.transfer\x1a\x16containerd/types.proto\x1a\x1f'
    b'google/protobuf/timestamp.protob\x06proto3'
    # enum HTTPDebug
    b'*9\n\tHTTPDebug\x12\x0c\n\x08DISABLED\x10\x00\x12\t\n\x05DEBUG\x10\x01\x12\t'
    b'\n\x05TRACE\x10\x02\x12\x08\n\x04BOTH\x10\x03'
    # enum AuthType
    b'*>\n\x08AuthType\x12\x08\n\x04NONE\x10\x00\x12\x0f\n\x0bCREDENTIALS\x10\x01\x12'
    b'\x0b\n\x07REFRESH\x10\x02\x12\n\n\x06HEADER\x10\x03'
    # message OCIRegistry
    b'"_\n\x0bOCIRegistry\x12\x11\n\treference\x18\x01 \x01(\t\x12=\n\x08re'
    b'solver\x18\x02 \x01(\x0b2+.containerd.types.transfer'
    b'.RegistryResolver'
    # message RegistryResolver
    b'"\x9b\x02\n\x10RegistryResolver\x12\x13\n\x0bauth_stream\x18\x01 \x01'
    b'(\t\x12I\n\x07headers\x18\x02 \x03(\x0b28.containerd.types.t'
    b'ransfer.RegistryResolver.HeadersEntry\x12\x10\n'
    b'\x08host_dir\x18\x03 \x01(\t\x12\x16\n\x0edefault_scheme\x18\x04 \x01(\t\x12'
    b'8\n\nhttp_debug\x18\x05 \x01(\x0e2$.containerd.types.t'
    b'ransfer.HTTPDebug\x12\x13\n\x0blogs_stream\x18\x06 \x01(\t\x1a.'
    b'\n\x0cHeadersEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01'
    b'(\t:\x028\x01'
    # message AuthRequest
    b'"G\n\x0bAuthRequest\x12\x0c\n\x04host\x18\x01 \x01(\t\x12\x11\n\treferen'
    b'ce\x18\x02 \x01(\t\x12\x17\n\x0fwwwauthenticate\x18\x03 \x03(\t'
    # message AuthResponse
    b'"\x96\x01\n\x0cAuthResponse\x125\n\x08authType\x18\x01 \x01(\x0e2#.co'
    b'ntainerd.types.transfer.AuthType\x12\x0e\n\x06secr'
    b'et\x18\x02 \x01(\t\x12\x10\n\x08username\x18\x03 \x01(\t\x12-\n\texpire_at\x18'
    b'\x04 \x01(\x0b2\x1a.google.protobuf.Timestamp'
    # message ImageStore
    b'"\xef\x02\n\nImageStore\x12\x0c\n\x04name\x18\x01 \x01(\t\x12A\n\x06labels\x18'
    b'\x02 \x03(\x0b21.containerd.types.transfer.ImageS'
    b'tore.LabelsEntry\x12-\n\tplatforms\x18\x03 \x03(\x0b2\x1a.co'
    b'ntainerd.types.Platform\x12\x14\n\x0call_metadata\x18'
    b'\x04 \x01(\x08\x12\x16\n\x0emanifest_limit\x18\x05 \x01(\r\x12C\n\x10extra_r'
    b'eferences\x18\x06 \x03(\x0b2).containerd.types.trans'
    b'fer.ImageReference\x12?\n\x07unpacks\x18\n \x03(\x0b2..co'
    b'ntainerd.types.transfer.UnpackConfigurat'
    b'ion\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value'
    b'\x18\x02 \x01(\t:\x028\x01'
    # message UnpackConfiguration
    b'"X\n\x13UnpackConfiguration\x12,\n\x08platform\x18\x01 \x01('
    b'\x0b2\x1a.containerd.types.Platform\x12\x13\n\x0bsnapsho'
    b'tter\x18\x02 \x01(\t'
    # message ImageReference
    b'"y\n\x0eImageReference\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x11\n\tis_p'
    b'refix\x18\x02 \x01(\x08\x12\x17\n\x0fallow_overwrite\x18\x03 \x01(\x08\x12\x12\n\n'
    b'add_digest\x18\x04 \x01(\x08\x12\x19\n\x11skip_named_digest\x18\x05 '
    b'\x01(\x08'
    # message ImageImportStream
    b'"O\n\x11ImageImportStream\x12\x0e\n\x06stream\x18\x01 \x01(\t\x12\x12\n'
    b'\nmedia_type\x18\x02 \x01(\t\x12\x16\n\x0eforce_compress\x18\x03 \x01('
    b'\x08'
    # message ImageExportStream
    b'"\xc2\x01\n\x11ImageExportStream\x12\x0e\n\x06stream\x18\x01 \x01(\t\x12\x12'
    b'\n\nmedia_type\x18\x02 \x01(\t\x12-\n\tplatforms\x18\x03 \x03(\x0b2\x1a.'
    b'containerd.types.Platform\x12\x15\n\rall_platfor'
    b'ms\x18\x04 \x01(\x08\x12#\n\x1bskip_compatibility_manifest\x18'
    b'\x05 \x01(\x08\x12\x1e\n\x16skip_non_distributable\x18\x06 \x01(\x08'
    # message Progress
    b'"\x85\x01\n\x08Progress\x12\r\n\x05event\x18\x01 \x01(\t\x12\x0c\n\x04name\x18\x02 \x01'
    b'(\t\x12\x0f\n\x07parents\x18\x03 \x03(\t\x12\x10\n\x08progress\x18\x04 \x01(\x03\x12\r\n'
    b'\x05total\x18\x05 \x01(\x03\x12*\n\x04desc\x18\x06 \x01(\x0b2\x1c.containerd.'
    b'types.Descriptor'
    # message Data
    b'"\x14\n\x04Data\x12\x0c\n\x04data\x18\x01 \x01(\x0c'
    # message WindowUpdate
    b'"\x1e\n\x0cWindowUpdate\x12\x0e\n\x06update\x18\x01 \x01(\x05'
    # message ReadStream
    b'"0\n\nReadStream\x12\x0e\n\x06stream\x18\x01 \x01(\t\x12\x12\n\nmedia_'
    b'type\x18\x02 \x01(\t'
    # message WriteStream
    b'"1\n\x0bWriteStream\x12\x0e\n\x06stream\x18\x01 \x01(\t\x12\x12\n\nmedia'
    b'_type\x18\x02 \x01(\t'
    # message ContainerPath
    b'"`\n\rContainerPath\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12'
    b'\x0c\n\x04path\x18\x02 \x01(\t\x12\x0f\n\x07no_walk\x18\x03 \x01(\x08\x12\x1a\n\x12preser'
    b've_ownership\x18\x04 \x01(\x08',
)
