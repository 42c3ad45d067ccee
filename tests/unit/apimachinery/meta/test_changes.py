from apimachinery.meta.changes import find_changes


def test_changes_leave_out_what_the_server_keeps_for_itself() -> None:
    before = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"replicas": 1, "list": [1, {"x": 1}]}}
    after = {"metadata": {"name": "a", "resourceVersion": "2"}, "spec": {"replicas": 3, "list": [1, {"x": 2}]}, "y": 1}
    assert list(find_changes(before, after)) == [
        ("spec.replicas", 1, 3),
        ("spec.list[1].x", 1, 2),
        ("y", None, 1),
    ]
