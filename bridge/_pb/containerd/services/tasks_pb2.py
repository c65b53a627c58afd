"""Package containerd.services.tasks.v1.

Generated from containerd/services/tasks.proto by protos/generate.py: do not edit.
"""

from bridge._pb import pool as _pool
from bridge._pb import rpc as _rpc
from bridge._pb.containerd import task_pb2 as _task_pb2
from bridge._pb.containerd import types_pb2 as _types_pb2
from bridge._pb.google.protobuf import any_pb2 as _any_pb2
from bridge._pb.google.protobuf import empty_pb2 as _empty_pb2
from bridge._pb.google.protobuf import timestamp_pb2 as _timestamp_pb2

DESCRIPTOR = _pool.define(
    globals(),
    # file containerd/services/tasks.proto
    b'\n\x1fcontainerd/services/tasks.proto\x12\x1cconta'
    b'inerd.services.tasks.v1\x1a\x15containerd/task'
    b'.proto\x1a\x16containerd/types.proto\x1a\x19google/p'
    b'rotobuf/any.proto\x1a\x1bgoogle/protobuf/empty'
    b'.proto\x1a\x1fgoogle/protobuf/timestamp.protob'
    b'\x06proto3'
    # message CreateTaskRequest
    b'"\xb6\x02\n\x11CreateTaskRequest\x12\x14\n\x0ccontainer_id\x18\x01'
    b" \x01(\t\x12'\n\x06rootfs\x18\x03 \x03(\x0b2\x17.containerd.types."
    b'Mount\x12\r\n\x05stdin\x18\x04 \x01(\t\x12\x0e\n\x06stdout\x18\x05 \x01(\t\x12\x0e\n\x06'
    b'stderr\x18\x06 \x01(\t\x12\x10\n\x08terminal\x18\x07 \x01(\x08\x120\n\ncheckp'
    b'oint\x18\x08 \x01(\x0b2\x1c.containerd.types.Descriptor'
    b'\x12%\n\x07options\x18\t \x01(\x0b2\x14.google.protobuf.Any\x12'
    b'\x14\n\x0cruntime_path\x18\n \x01(\t\x12\x18\n\x10task_api_addres'
    b's\x18\x0b \x01(\t\x12\x18\n\x10task_api_version\x18\x0c \x01(\r'
    # message CreateTaskResponse
    b'"7\n\x12CreateTaskResponse\x12\x14\n\x0ccontainer_id\x18\x01'
    b' \x01(\t\x12\x0b\n\x03pid\x18\x02 \x01(\r'
    # message StartRequest
    b'"5\n\x0cStartRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0f'
    b'\n\x07exec_id\x18\x02 \x01(\t'
    # message StartResponse
    b'"\x1c\n\rStartResponse\x12\x0b\n\x03pid\x18\x01 \x01(\r'
    # message DeleteTaskRequest
    b'")\n\x11DeleteTaskRequest\x12\x14\n\x0ccontainer_id\x18\x01 '
    b'\x01(\t'
    # message DeleteResponse
    b'"m\n\x0eDeleteResponse\x12\n\n\x02id\x18\x01 \x01(\t\x12\x0b\n\x03pid\x18\x02 '
    b'\x01(\r\x12\x13\n\x0bexit_status\x18\x03 \x01(\r\x12-\n\texited_at\x18\x04 '
    b'\x01(\x0b2\x1a.google.protobuf.Timestamp'
    # message DeleteProcessRequest
    b'"=\n\x14DeleteProcessRequest\x12\x14\n\x0ccontainer_id'
    b'\x18\x01 \x01(\t\x12\x0f\n\x07exec_id\x18\x02 \x01(\t'
    # message GetRequest
    b'"3\n\nGetRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0f\n\x07'
    b'exec_id\x18\x02 \x01(\t'
    # message GetResponse
    b'"<\n\x0bGetResponse\x12-\n\x07process\x18\x01 \x01(\x0b2\x1c.conta'
    b'inerd.v1.types.Process'
    # message ListTasksRequest
    b'""\n\x10ListTasksRequest\x12\x0e\n\x06filter\x18\x01 \x01(\t'
    # message ListTasksResponse
    b'"@\n\x11ListTasksResponse\x12+\n\x05tasks\x18\x01 \x03(\x0b2\x1c.c'
    b'ontainerd.v1.types.Process'
    # message KillRequest
    b'"Q\n\x0bKillRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0f\n'
    b'\x07exec_id\x18\x02 \x01(\t\x12\x0e\n\x06signal\x18\x03 \x01(\r\x12\x0b\n\x03all\x18\x04 '
    b'\x01(\x08'
    # message ExecProcessRequest
    b'"\xa0\x01\n\x12ExecProcessRequest\x12\x14\n\x0ccontainer_id\x18'
    b'\x01 \x01(\t\x12\r\n\x05stdin\x18\x02 \x01(\t\x12\x0e\n\x06stdout\x18\x03 \x01(\t\x12\x0e\n\x06'
    b'stderr\x18\x04 \x01(\t\x12\x10\n\x08terminal\x18\x05 \x01(\x08\x12"\n\x04spec\x18\x06'
    b' \x01(\x0b2\x14.google.protobuf.Any\x12\x0f\n\x07exec_id\x18\x07 '
    b'\x01(\t'
    # message ExecProcessResponse
    b'"\x15\n\x13ExecProcessResponse'
    # message ResizePtyRequest
    b'"X\n\x10ResizePtyRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01'
    b'(\t\x12\x0f\n\x07exec_id\x18\x02 \x01(\t\x12\r\n\x05width\x18\x03 \x01(\r\x12\x0e\n\x06he'
    b'ight\x18\x04 \x01(\r'
    # message CloseIORequest
    b'"F\n\x0eCloseIORequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t'
    b'\x12\x0f\n\x07exec_id\x18\x02 \x01(\t\x12\r\n\x05stdin\x18\x03 \x01(\x08'
    # message PauseTaskRequest
    b'"(\n\x10PauseTaskRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01'
    b'(\t'
    # message ResumeTaskRequest
    b'")\n\x11ResumeTaskRequest\x12\x14\n\x0ccontainer_id\x18\x01 '
    b'\x01(\t'
    # message ListPidsRequest
    b'"\'\n\x0fListPidsRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01('
    b'\t'
    # message ListPidsResponse
    b'"G\n\x10ListPidsResponse\x123\n\tprocesses\x18\x01 \x03(\x0b2'
    b' .containerd.v1.types.ProcessInfo'
    # message CheckpointTaskRequest
    b'"o\n\x15CheckpointTaskRequest\x12\x14\n\x0ccontainer_i'
    b'd\x18\x01 \x01(\t\x12\x19\n\x11parent_checkpoint\x18\x02 \x01(\t\x12%\n\x07op'
    b'tions\x18\x03 \x01(\x0b2\x14.google.protobuf.Any'
    # message CheckpointTaskResponse
    b'"K\n\x16CheckpointTaskResponse\x121\n\x0bdescriptor'
    b's\x18\x01 \x03(\x0b2\x1c.containerd.types.Descriptor'
    # message UpdateTaskRequest
    b'"\xdd\x01\n\x11UpdateTaskRequest\x12\x14\n\x0ccontainer_id\x18\x01'
    b" \x01(\t\x12'\n\tresources\x18\x02 \x01(\x0b2\x14.google.protobu"
    b'f.Any\x12U\n\x0bannotations\x18\x03 \x03(\x0b2@.containerd.'
    b'services.tasks.v1.UpdateTaskRequest.Anno'
    b'tationsEntry\x1a2\n\x10AnnotationsEntry\x12\x0b\n\x03key\x18'
    b'\x01 \x01(\t\x12\r\n\x05value\x18\x02 \x01(\t:\x028\x01'
    # message MetricsRequest
    b'"!\n\x0eMetricsRequest\x12\x0f\n\x07filters\x18\x01 \x03(\t'
    # message MetricsResponse
    b'"<\n\x0fMetricsResponse\x12)\n\x07metrics\x18\x01 \x03(\x0b2\x18.c'
    b'ontainerd.types.Metric'
    # message WaitRequest
    b'"4\n\x0bWaitRequest\x12\x14\n\x0ccontainer_id\x18\x01 \x01(\t\x12\x0f\n'
    b'\x07exec_id\x18\x02 \x01(\t'
    # message WaitResponse
    b'"R\n\x0cWaitResponse\x12\x13\n\x0bexit_status\x18\x01 \x01(\r\x12-\n'
    b'\texited_at\x18\x02 \x01(\x0b2\x1a.google.protobuf.Times'
    b'tamp'
    # service Tasks
    b'2\xdc\x0c\n\x05Tasks\x12k\n\x06Create\x12/.containerd.servic'
    b'es.tasks.v1.CreateTaskRequest\x1a0.containe'
    b'rd.services.tasks.v1.CreateTaskResponse\x12'
    b'`\n\x05Start\x12*.containerd.services.tasks.v1.'
    b'StartRequest\x1a+.containerd.services.tasks'
    b'.v1.StartResponse\x12g\n\x06Delete\x12/.containerd'
    b'.services.tasks.v1.DeleteTaskRequest\x1a,.c'
    b'ontainerd.services.tasks.v1.DeleteRespon'
    b'se\x12q\n\rDeleteProcess\x122.containerd.service'
    b's.tasks.v1.DeleteProcessRequest\x1a,.contai'
    b'nerd.services.tasks.v1.DeleteResponse\x12Z\n'
    b'\x03Get\x12(.containerd.services.tasks.v1.GetR'
    b'equest\x1a).containerd.services.tasks.v1.Ge'
    b'tResponse\x12g\n\x04List\x12..containerd.services.'
    b'tasks.v1.ListTasksRequest\x1a/.containerd.s'
    b'ervices.tasks.v1.ListTasksResponse\x12I\n\x04Ki'
    b'll\x12).containerd.services.tasks.v1.KillRe'
    b'quest\x1a\x16.google.protobuf.Empty\x12P\n\x04Exec\x120.'
    b'containerd.services.tasks.v1.ExecProcess'
    b'Request\x1a\x16.google.protobuf.Empty\x12S\n\tResiz'
    b'ePty\x12..containerd.services.tasks.v1.Resi'
    b'zePtyRequest\x1a\x16.google.protobuf.Empty\x12O\n\x07'
    b'CloseIO\x12,.containerd.services.tasks.v1.C'
    b'loseIORequest\x1a\x16.google.protobuf.Empty\x12O\n'
    b'\x05Pause\x12..containerd.services.tasks.v1.Pa'
    b'useTaskRequest\x1a\x16.google.protobuf.Empty\x12Q'
    b'\n\x06Resume\x12/.containerd.services.tasks.v1.'
    b'ResumeTaskRequest\x1a\x16.google.protobuf.Empt'
    b'y\x12i\n\x08ListPids\x12-.containerd.services.task'
    b's.v1.ListPidsRequest\x1a..containerd.servic'
    b'es.tasks.v1.ListPidsResponse\x12w\n\nCheckpoi'
    b'nt\x123.containerd.services.tasks.v1.Checkp'
    b'ointTaskRequest\x1a4.containerd.services.ta'
    b'sks.v1.CheckpointTaskResponse\x12Q\n\x06Update\x12'
    b'/.containerd.services.tasks.v1.UpdateTas'
    b'kRequest\x1a\x16.google.protobuf.Empty\x12f\n\x07Metr'
    b'ics\x12,.containerd.services.tasks.v1.Metri'
    b'csRequest\x1a-.containerd.services.tasks.v1'
    b'.MetricsResponse\x12]\n\x04Wait\x12).containerd.se'
    b'rvices.tasks.v1.WaitRequest\x1a*.containerd'
    b'.services.tasks.v1.WaitResponse',
)

Tasks = _rpc.Service(DESCRIPTOR.services_by_name["Tasks"])


class TasksStub(_rpc.Stub):
    service = Tasks


class TasksBlockingStub(_rpc.Stub):
    service = Tasks
