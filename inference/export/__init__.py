"""A trained generator -> files that other programs run: ONNX, torch.export, safetensors."""
