r"""The part of etcd's v3 API that the store speaks, generated from the .proto files beside this one.

Regenerate, at the repository's root, with grpcio-tools 1.74 (newer ones refuse protobuf runtimes older than their own):

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. controlplane/apiserver/storage/etcdv3/*.proto
    sed -i '1i # ruff: noqa\n# mypy: ignore-errors' controlplane/apiserver/storage/etcdv3/*.pyi
"""
