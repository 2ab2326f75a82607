"""The gRPC surface: validate, call, convert. The only folder that imports grpc."""
