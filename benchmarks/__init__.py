"""What this library costs and what it saves, beside bare httpx and beside its peers."""
