"""A graph as torch functions, operator by operator, and onnxruntime as the reference."""
