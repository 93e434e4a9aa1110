"""Lists the packages; setup.cfg, which holds all else, cannot add those that lie elsewhere."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["detector*", "stream_server*"]),
        "stream_server.templates",
        "stream_server.static",
    ]
)
