"""Agent sessions over gRPC, dispatch, clock offsets."""
