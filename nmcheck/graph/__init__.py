"""The only part that knows ONNX: from a file to a small graph, and from one graph to another."""
