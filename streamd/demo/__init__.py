"""A demonstration without a camera: freely usable faces made into four video streams."""
