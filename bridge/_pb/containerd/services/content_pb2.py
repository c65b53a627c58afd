"""Package containerd.services.content.v1.

Generated from containerd/services/content.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import field_mask_pb2 as _field_mask_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/content.proto
    b'\n!containerd/services/content.proto\x12\x1econ'
    b'tainerd.services.content.v1\x1a\x1bgoogle/prot'
    b'obuf/empty.proto\x1a google/protobuf/field_'
    b'mask.proto\x1a\x1fgoogle/protobuf/timestamp.pr'
    b'otob\x06proto3'
    # enum WriteAction
    b'*.\n\x0bWriteAction\x12\x08\n\x04STAT\x10\x00\x12\t\n\x05WRITE\x10\x01\x12\n\n\x06'
    b'COMMIT\x10\x02'
    # message Info
    b'"\xf5\x01\n\x04Info\x12\x0e\n\x06digest\x18\x01 \x01(\t\x12\x0c\n\x04size\x18\x02 \x01(\x03\x12'
    b'.\n\ncreated_at\x18\x03 \x01(\x0b2\x1a.google.protobuf.Ti'
    b'mestamp\x12.\n\nupdated_at\x18\x04 \x01(\x0b2\x1a.google.pro'
    b'tobuf.Timestamp\x12@\n\x06labels\x18\x05 \x03(\x0b20.contai'
    b'nerd.services.content.v1.Info.LabelsEntr'
    b'y\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18\x02'
    b' \x01(\t:\x028\x01'
    # message InfoRequest
    b'"\x1d\n\x0bInfoRequest\x12\x0e\n\x06digest\x18\x01 \x01(\t'
    # message InfoResponse
    b'"B\n\x0cInfoResponse\x122\n\x04info\x18\x01 \x01(\x0b2$.contain'
    b'erd.services.content.v1.Info'
    # message UpdateRequest
    b'"t\n\rUpdateRequest\x122\n\x04info\x18\x01 \x01(\x0b2$.contai'
    b'nerd.services.content.v1.Info\x12/\n\x0bupdate_'
    b'mask\x18\x02 \x01(\x0b2\x1a.google.protobuf.FieldMask'
    # message UpdateResponse
    b'"D\n\x0eUpdateResponse\x122\n\x04info\x18\x01 \x01(\x0b2$.conta'
    b'inerd.services.content.v1.Info'
    # message ListContentRequest
    b'"%\n\x12ListContentRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message ListContentResponse
    b'"I\n\x13ListContentResponse\x122\n\x04info\x18\x01 \x03(\x0b2$.'
    b'containerd.services.content.v1.Info'
    # message DeleteContentRequest
    b'"&\n\x14DeleteContentRequest\x12\x0e\n\x06digest\x18\x01 \x01(\t'
    # message ReadContentRequest
    b'"B\n\x12ReadContentRequest\x12\x0e\n\x06digest\x18\x01 \x01(\t\x12\x0e'
    b'\n\x06offset\x18\x02 \x01(\x03\x12\x0c\n\x04size\x18\x03 \x01(\x03'
    # message ReadContentResponse
    b'"3\n\x13ReadContentResponse\x12\x0e\n\x06offset\x18\x01 \x01(\x03\x12'
    b'\x0c\n\x04data\x18\x02 \x01(\x0c'
    # message Status
    b'"\xa6\x01\n\x06Status\x12.\n\nstarted_at\x18\x01 \x01(\x0b2\x1a.google'
    b'.protobuf.Timestamp\x12.\n\nupdated_at\x18\x02 \x01(\x0b2'
    b'\x1a.google.protobuf.Timestamp\x12\x0b\n\x03ref\x18\x03 \x01(\t'
    b'\x12\x0e\n\x06offset\x18\x04 \x01(\x03\x12\r\n\x05total\x18\x05 \x01(\x03\x12\x10\n\x08expec'
    b'ted\x18\x06 \x01(\t'
    # message StatusRequest
    b'"\x1c\n\rStatusRequest\x12\x0b\n\x03ref\x18\x01 \x01(\t'
    # message StatusResponse
    b'"H\n\x0eStatusResponse\x126\n\x06status\x18\x01 \x01(\x0b2&.con'
    b'tainerd.services.content.v1.Status'
    # message ListStatusesRequest
    b'"&\n\x13ListStatusesRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message ListStatusesResponse
    b'"P\n\x14ListStatusesResponse\x128\n\x08statuses\x18\x01 \x03'
    b'(\x0b2&.containerd.services.content.v1.Stat'
    b'us'
    # message WriteContentRequest
    b'"\x9e\x02\n\x13WriteContentRequest\x12;\n\x06action\x18\x01 \x01(\x0e'
    b'2+.containerd.services.content.v1.WriteA'
    b'ction\x12\x0b\n\x03ref\x18\x02 \x01(\t\x12\r\n\x05total\x18\x03 \x01(\x03\x12\x10\n\x08exp'
    b'ected\x18\x04 \x01(\t\x12\x0e\n\x06offset\x18\x05 \x01(\x03\x12\x0c\n\x04data\x18\x06 \x01('
    b'\x0c\x12O\n\x06labels\x18\x07 \x03(\x0b2?.containerd.services.'
    b'content.v1.WriteContentRequest.LabelsEnt'
    b'ry\x1a-\n\x0bLabelsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12\r\n\x05value\x18'
    b'\x02 \x01(\t:\x028\x01'
    # message WriteContentResponse
    b'"\xe2\x01\n\x14WriteContentResponse\x12;\n\x06action\x18\x01 \x01('
    b'\x0e2+.containerd.services.content.v1.Write'
    b'Action\x12.\n\nstarted_at\x18\x02 \x01(\x0b2\x1a.google.prot'
    b'obuf.Timestamp\x12.\n\nupdated_at\x18\x03 \x01(\x0b2\x1a.goo'
    b'gle.protobuf.Timestamp\x12\x0e\n\x06offset\x18\x04 \x01(\x03\x12\r'
    b'\n\x05total\x18\x05 \x01(\x03\x12\x0e\n\x06digest\x18\x06 \x01(\t'
    # message AbortRequest
    b'"\x1b\n\x0cAbortRequest\x12\x0b\n\x03ref\x18\x01 \x01(\t'
    # service Content
    b'2\xbe\x07\n\x07Content\x12a\n\x04Info\x12+.containerd.servic'
    b'es.content.v1.InfoRequest\x1a,.containerd.s'
    b'ervices.content.v1.InfoResponse\x12g\n\x06Updat'
    b'e\x12-.containerd.services.content.v1.Updat'
    b'eRequest\x1a..containerd.services.content.v'
    b'1.UpdateResponse\x12q\n\x04List\x122.containerd.se'
    b'rvices.content.v1.ListContentRequest\x1a3.c'
    b'ontainerd.services.content.v1.ListConten'
    b'tResponse0\x01\x12V\n\x06Delete\x124.containerd.servi'
    b'ces.content.v1.DeleteContentRequest\x1a\x16.go'
    b'ogle.protobuf.Empty\x12q\n\x04Read\x122.containerd'
    b'.services.content.v1.ReadContentRequest\x1a'
    b'3.containerd.services.content.v1.ReadCon'
    b'tentResponse0\x01\x12g\n\x06Status\x12-.containerd.se'
    b'rvices.content.v1.StatusRequest\x1a..contai'
    b'nerd.services.content.v1.StatusResponse\x12'
    b'y\n\x0cListStatuses\x123.containerd.services.co'
    b'ntent.v1.ListStatusesRequest\x1a4.container'
    b'd.services.content.v1.ListStatusesRespon'
    b'se\x12v\n\x05Write\x123.containerd.services.conten'
    b't.v1.WriteContentRequest\x1a4.containerd.se'
    b'rvices.content.v1.WriteContentResponse(\x01'
    b'0\x01\x12M\n\x05Abort\x12,.containerd.services.conten'
    b't.v1.AbortRequest\x1a\x16.google.protobuf.Empt'
    b'y',
)

Content = _rpc.Service(DESCRIPTOR.services_by_name["Content"])


class ContentStub(_rpc.Stub):
    service = Content


class ContentBlockingStub(_rpc.Stub):
    service = Content
