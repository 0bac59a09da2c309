"""The canonical workload through this program and through its peers, side by side."""
