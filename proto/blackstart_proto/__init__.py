"""The contract between controller and agent: protobuf messages and the code generated from them."""
