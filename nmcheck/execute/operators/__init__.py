"""One torch function for each ONNX operator, a family a file; ``execute.table`` lists them all."""
