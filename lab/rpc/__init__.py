"""What the lab's provider plugins share: values, diffs and the gRPC server around them."""
