"""PyTorch programs as ONNX models with If, Loop and Scan: `torch.export` programs and plain `nn.Module` source.

PyTorch is the optional extra `weft[torch]`; nothing outside this package imports it.
"""
