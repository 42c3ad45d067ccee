"""Limit ranges and quotas: what they are refused for."""

import pytest

from apimachinery.api.validation import validate_create, validate_status_update, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

QUOTA = resource("v1", "ResourceQuota")
LIMITS = resource("v1", "LimitRange")


def _quantity(number, scale, text, form):
    return (
        f"resource.Quantity{{i:resource.int64Amount{{value:{number}, scale:{scale}}}, "
        f'd:resource.infDecAmount{{Dec:(*inf.Dec)(nil)}}, s:"{text}", Format:"{form}"}}'
    )


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}}], []),
        ([{"type": "Node"}], ['type: Invalid value: "Node": must be a standard limit type or fully qualified']),
        ([{"type": "Pod"}, {"type": "Pod"}], None),
        (
            [{"type": "Pod", "default": {"cpu": "1"}}],
            ["default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            [{"type": "PersistentVolumeClaim"}],
            ["limits: Required value: either minimum or maximum storage value is required, but neither was provided"],
        ),
        (
            [{"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}],
            [f"min[cpu]: Invalid value: {_quantity(2, 0, '2', 'DecimalSI')}: min value 2 is greater than max value 1"],
        ),
        (
            [{"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}],
            [
                f"maxLimitRequestRatio[cpu]: Invalid value: {_quantity(500, -3, '500m', 'DecimalSI')}: "
                "ratio 500m is less than 1"
            ],
        ),
        (
            [
                {
                    "type": "Pod",
                    "max": {"memory": "2Gi"},
                    "min": {"memory": "1Gi"},
                    "maxLimitRequestRatio": {"memory": 3},
                }
            ],
            [
                f"maxLimitRequestRatio[memory]: Invalid value: {_quantity(3, 0, '3', 'DecimalSI')}: "
                "ratio 3 is greater than max/min = 2.000000"
            ],
        ),
        (
            [{"type": "Container", "max": {"pods": "1"}}],
            # The maximum is also the default limit, and that the default request.
            [
                f'{field}[pods]: Invalid value: "pods": must be a standard resource for containers'
                for field in ("max", "default", "defaultRequest")
            ],
        ),
    ],
    ids=str,
)
def test_a_limit_range(limits, expected):
    found = texts(validate_create(LIMITS, made(LIMITS, spec={"limits": limits})))
    if expected is None:
        assert found == ['spec.limits[1].type: Duplicate value: "Pod"']
    else:
        assert found == [f"spec.limits[0].{text}" for text in expected]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hard": {"pods": "4", "requests.cpu": "1", "count/jobs.batch": "2", "requests.hugepages-2Mi": "4Mi"}}, []),
        (
            {"hard": {"pods": "1500m"}},
            [f"spec.hard[pods]: Invalid value: {_quantity(1500, -3, '1500m', 'DecimalSI')}: must be an integer"],
        ),
        ({"hard": {"pods": "-1"}}, ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0']),
        (
            {"hard": {"storage": "1Gi"}},
            ['spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota'],
        ),
        (
            {"hard": {"bogus": "1"}},
            [
                'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
                'spec.hard[bogus]: Invalid value: "bogus": must be a standard resource for quota',
            ],
        ),
        (
            {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]},
            [
                'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort"}: '
                "unsupported scope applied to resource"
            ],
        ),
        (
            {"scopes": ["Terminating", "NotTerminating"]},
            [
                'spec.scopes: Invalid value: []core.ResourceQuotaScope{"Terminating", "NotTerminating"}: '
                "conflicting scopes"
            ],
        ),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}},
            [
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
                "`operator` is 'In' or 'NotIn' for scope selector"
            ],
        ),
    ],
    ids=str,
)
def test_a_quota(spec, expected):
    assert texts(validate_create(QUOTA, made(QUOTA, spec=spec))) == expected


def test_a_quotas_scopes_stay_and_its_status_holds_amounts():
    old, new = made(QUOTA, spec={}), made(QUOTA, spec={"scopes": ["BestEffort"]})
    assert texts(validate_update(QUOTA, new, old)) == [
        'spec.scopes: Invalid value: []core.ResourceQuotaScope{"BestEffort"}: field is immutable'
    ]
    used = made(QUOTA, spec={}, status={"used": {"pods": "-1"}})
    assert texts(validate_status_update(QUOTA, used, old)) == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    ]
