"""Package containerd.services.transfer.v1.

Generated from containerd/services/transfer.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/transfer.proto
    b'\n"containerd/services/transfer.proto\x12\x1fco'
    b'ntainerd.services.transfer.v1\x1a\x19google/pr'
    b'otobuf/any.proto\x1a\x1bgoogle/protobuf/empty.'
    b'protob\x06proto3'
    # message TransferRequest
    b'"\xa5\x01\n\x0fTransferRequest\x12$\n\x06source\x18\x01 \x01(\x0b2\x14.g'
    b'oogle.protobuf.Any\x12)\n\x0bdestination\x18\x02 \x01(\x0b2'
    b'\x14.google.protobuf.Any\x12A\n\x07options\x18\x03 \x01(\x0b20'
    b'.containerd.services.transfer.v1.Transfe'
    b'rOptions'
    # message TransferOptions
    b'"*\n\x0fTransferOptions\x12\x17\n\x0fprogress_stream\x18\x01'
    b' \x01(\t'
    # service Transfer
    b'2`\n\x08Transfer\x12T\n\x08Transfer\x120.containerd.se'
    b'rvices.transfer.v1.TransferRequest\x1a\x16.goo'
    b'gle.protobuf.Empty',
)

Transfer = _rpc.Service(DESCRIPTOR.services_by_name["Transfer"])


class TransferStub(_rpc.Stub):
    service = Transfer


class TransferBlockingStub(_rpc.Stub):
    service = Transfer
