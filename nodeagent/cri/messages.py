"""The CRI messages (k8s.io/cri-api, runtime.v1), under one name: `from nodeagent.cri import messages as cri`.

The generated code comes from the package container-runtime-interface-api; nobody else imports it.
"""

from cri_api.v1.api_pb2 import *  # noqa: F403
