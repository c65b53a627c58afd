"""Services of containerd's API as tables of methods, their client stubs and their server side.

A generated module of a service holds three names: `Tasks` (the table), `TasksStub` (for a `grpc.aio` channel) and
`TasksBlockingStub` (for a `grpc` channel). A stub has one attribute per method, with full types in the module's `.pyi`:

    tasks = TasksStub(channel)
    await tasks.Kill(KillRequest(container_id="web", signal=15), timeout=5, metadata=[("containerd-namespace", "k8s.io")])

The table is for those who want less than a stub, the path of a method or its responses as raw bytes, and for servers:

    subscribe = Events.Subscribe.bind(channel, raw=True)
    server.add_generic_rpc_handlers((Events.handler(implementation),))

Errors are grpc's own (`grpc.RpcError`); nothing here adds retries, deadlines or metadata. Hand-written.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Method(Generic[Request, Response]):
    """One method of a service.

    Attributes:
        path: what goes over the wire, `/<package>.<Service>/<Method>`.
        request: class of the message (or of each message) sent to the server.
        response: class of the message (or of each message) sent by the server.
        client_streaming: whether the client sends many.
        server_streaming: whether the server sends many.
    """

    path: str
    request: type[Request]
    response: type[Response]
    client_streaming: bool
    server_streaming: bool

    @property
    def kind(self) -> str:
        """`unary_unary`, `unary_stream`, `stream_unary` or `stream_stream`: grpc's own word for it."""
        return f"{'stream' if self.client_streaming else 'unary'}_{'stream' if self.server_streaming else 'unary'}"

    def bind(self, channel: Any, *, raw: bool = False) -> Any:
        """Make this method callable on a `grpc` or `grpc.aio` channel; with `raw` the response is left as bytes."""
        multicallable = getattr(channel, self.kind)
        return multicallable(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=None if raw else self.response.FromString,
        )


class Service:
    """All methods of one service; each is also an attribute by its own name.

    Attributes:
        name: full name, package included.
        methods: by name, in the order of the API's definition.
    """

    def __init__(self, descriptor: ServiceDescriptor) -> None:
        self.name: str = descriptor.full_name
        self.methods: dict[str, Method[Any, Any]] = {
            method.name: Method(
                path=f"/{descriptor.full_name}/{method.name}",
                request=GetMessageClass(method.input_type),
                response=GetMessageClass(method.output_type),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
            )
            for method in descriptor.methods
        }
        vars(self).update(self.methods)

    def handler(self, implementation: object) -> Any:
        """Serve this service by an object whose methods are named after the API's, as grpc's servicers are.

        Give the result to `server.add_generic_rpc_handlers`. A method that the object does not have is answered with
        UNIMPLEMENTED. A method may return (or yield) bytes that are serialized already instead of a message.

        Raises:
            TypeError: the object has none of the methods.
        """
        present = {name: method for name, method in self.methods.items() if hasattr(implementation, name)}
        if not present:
            raise TypeError(
                f"{type(implementation).__name__} cannot serve {self.name}: "
                f"it has none of the methods {', '.join(self.methods)}"
            )
        handlers = {}
        for name, method in present.items():
            make_handler = getattr(grpc, f"{method.kind}_rpc_method_handler")
            handlers[name] = make_handler(getattr(implementation, name), method.request.FromString, _serialize)
        return grpc.method_handlers_generic_handler(self.name, handlers)


class Stub:
    """The methods of one service on one channel; generated subclasses name the service."""

    service: ClassVar[Service]

    def __init__(self, channel: Any) -> None:
        for name, method in self.service.methods.items():
            setattr(self, name, method.bind(channel))


def _serialize(response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()
