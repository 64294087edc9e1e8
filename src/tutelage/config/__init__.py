"""What a study is, as data. Nothing here imports PyTorch."""
