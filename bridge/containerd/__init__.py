"""containerd, spoken to over its gRPC socket. The only room that knows grpc and `bridge._pb`; neither leaves it."""
