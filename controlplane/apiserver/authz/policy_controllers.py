"""The roles of the controllers, by the name of their service account in kube-system (controller_policy.go)."""

from __future__ import annotations

_EVENTS = "create,patch,update core,events.k8s.io events"

CONTROLLER_ROLES: dict[str, str] = {
    "attachdetach-controller": f"""
        list,watch core persistentvolumeclaims,persistentvolumes
        read core nodes
        patch,update core nodes/status
        list,watch core pods
        {_EVENTS}
        create,delete,read storage.k8s.io volumeattachments
        read storage.k8s.io csidrivers
        read storage.k8s.io csinodes
    """,
    "certificate-controller": f"""
        delete,read certificates.k8s.io certificatesigningrequests
        update certificates.k8s.io certificatesigningrequests/approval,certificatesigningrequests/status
        approve certificates.k8s.io signers kubernetes.io/kube-apiserver-client-kubelet
        sign certificates.k8s.io signers kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown
        create authorization.k8s.io subjectaccessreviews
        {_EVENTS}
    """,  # noqa: E501 - one rule a line
    "clusterrole-aggregation-controller": "escalate,read,patch,update rbac.authorization.k8s.io clusterroles",
    "cronjob-controller": f"""
        read,update batch cronjobs
        create,delete,read,patch,update batch jobs
        update batch cronjobs/status
        update batch cronjobs/finalizers
        delete,list,watch core pods
        {_EVENTS}
    """,
    "daemon-set-controller": f"""
        read apps,extensions daemonsets
        update apps,extensions daemonsets/status
        update apps,extensions daemonsets/finalizers
        list,watch core nodes
        create,delete,list,patch,watch core pods
        create core pods/binding
        create,delete,read,patch,update apps controllerrevisions
        {_EVENTS}
    """,
    "deployment-controller": f"""
        read,update apps,extensions deployments
        update apps,extensions deployments/status
        update apps,extensions deployments/finalizers
        create,delete,read,patch,update apps,extensions replicasets
        read,update core pods
        {_EVENTS}
    """,
    "disruption-controller": f"""
        read apps,extensions deployments
        read apps,extensions replicasets
        read core replicationcontrollers
        read policy poddisruptionbudgets
        read apps statefulsets
        update policy poddisruptionbudgets/status
        patch,update core pods/status
        get * */scale
        {_EVENTS}
    """,
    "endpoint-controller": f"""
        read core pods,services
        create,delete,read,update core endpoints
        create core endpoints/restricted
        {_EVENTS}
    """,
    "endpointslice-controller": f"""
        read core nodes,pods,services
        update core services/finalizers
        create,delete,read,update discovery.k8s.io endpointslices
        {_EVENTS}
    """,
    "endpointslicemirroring-controller": f"""
        read core endpoints,services
        update core services/finalizers
        update core endpoints/finalizers
        create,delete,read,update discovery.k8s.io endpointslices
        {_EVENTS}
    """,
    "ephemeral-volume-controller": f"""
        read core pods
        update core pods/finalizers
        create,read core persistentvolumeclaims
        {_EVENTS}
    """,
    "expand-controller": f"""
        read,patch,update core persistentvolumes
        patch,update core persistentvolumeclaims/status
        read core persistentvolumeclaims
        get core services
        {_EVENTS}
    """,
    "generic-garbage-collector": f"""
        delete,read,patch,update * *
        {_EVENTS}
    """,
    "horizontal-pod-autoscaler": f"""
        read autoscaling horizontalpodautoscalers
        update autoscaling horizontalpodautoscalers/status
        get,update * */scale
        list,watch core pods
        list,watch metrics.k8s.io pods
        read custom.metrics.k8s.io *
        read external.metrics.k8s.io *
        {_EVENTS}
    """,
    "job-controller": f"""
        read,patch,update batch jobs
        update batch jobs/status
        update batch jobs/finalizers
        create,delete,list,patch,watch core pods
        {_EVENTS}
    """,
    "legacy-service-account-token-cleaner": """
        get core configmaps kube-apiserver-legacy-service-account-token-tracking
        delete,patch core secrets
    """,
    "namespace-controller": """
        delete,read core namespaces
        update core namespaces/finalize,namespaces/status
        delete,deletecollection,read * *
    """,
    "node-controller": f"""
        delete,read,patch,update core nodes
        patch,update core nodes/status
        delete,read core pods
        patch,update core pods/status
        {_EVENTS}
    """,
    "persistent-volume-binder": f"""
        create,delete,read,update core persistentvolumes
        update core persistentvolumes/status
        read,update core persistentvolumeclaims
        update core persistentvolumeclaims/status
        create,delete,get,list,watch core pods
        read storage.k8s.io storageclasses
        list,watch core nodes
        {_EVENTS}
        watch core events
        get core services
    """,
    "pod-garbage-collector": """
        delete,list,watch core pods
        read core nodes
        patch core pods/status
    """,
    "pv-protection-controller": f"""
        read,update core persistentvolumes
        {_EVENTS}
    """,
    "pvc-protection-controller": f"""
        read,update core persistentvolumeclaims
        read core pods
        {_EVENTS}
    """,
    "replicaset-controller": f"""
        read,update apps,extensions replicasets
        update apps,extensions replicasets/status
        update apps,extensions replicasets/finalizers
        create,delete,list,patch,watch core pods
        {_EVENTS}
    """,
    "replication-controller": f"""
        read,update core replicationcontrollers
        update core replicationcontrollers/status
        update core replicationcontrollers/finalizers
        create,delete,list,patch,watch core pods
        {_EVENTS}
    """,
    "resourcequota-controller": f"""
        list,watch * *
        update core resourcequotas/status
        {_EVENTS}
    """,
    "root-ca-cert-publisher": f"""
        create,update core configmaps
        {_EVENTS}
    """,
    "route-controller": f"""
        list,watch core nodes
        patch core nodes/status
        {_EVENTS}
    """,
    "service-account-controller": f"""
        create core serviceaccounts
        {_EVENTS}
    """,
    "service-controller": f"""
        read core services
        patch,update core services/status
        list,watch core nodes
        {_EVENTS}
    """,
    "statefulset-controller": f"""
        list,watch core pods
        read apps statefulsets
        update apps statefulsets/status
        update apps statefulsets/finalizers
        create,delete,get,patch,update core pods
        create,delete,read,patch,update apps controllerrevisions
        create,read core persistentvolumeclaims
        delete,update core persistentvolumeclaims
        update core pods/finalizers
        {_EVENTS}
    """,
    "ttl-after-finished-controller": f"""
        delete,read batch jobs
        {_EVENTS}
    """,
    "ttl-controller": f"""
        list,patch,update,watch core nodes
        {_EVENTS}
    """,
    "validatingadmissionpolicy-status-controller": f"""
        read admissionregistration.k8s.io validatingadmissionpolicies
        get,patch,update admissionregistration.k8s.io validatingadmissionpolicies/status
        {_EVENTS}
    """,
}
