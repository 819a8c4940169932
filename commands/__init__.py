"""What train.py and test.py do between the resolved options and the exit code, step by step."""
