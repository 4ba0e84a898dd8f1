"""What we use of KubeRay's ray.io/v1 resources, written by hand from its API reference: field names and types, no more.

The operator's own definitions are megabytes long and not part of this repository, so a field that is right here may
still be refused by an operator of another version.
"""

from typing import Any

STRING = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
QUANTITY = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|Ki|Mi|Gi)?$"}


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required.split()}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


NAMED = fields("name", name=STRING)
RESOURCES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = fields(
    "name image resources",
    name=STRING,
    image=STRING,
    command=array(STRING),
    envFrom=array({"oneOf": [fields("configMapRef", configMapRef=NAMED), fields("secretRef", secretRef=NAMED)]}),
    ports=array(fields("name containerPort", name=STRING, containerPort=COUNT)),
    resources=fields("requests limits", requests=RESOURCES, limits=RESOURCES),
    volumeMounts=array(fields("name mountPath", name=STRING, mountPath=STRING, readOnly={"type": "boolean"})),
)
VOLUME = fields(
    "name", name=STRING, secret=fields("secretName", secretName=STRING), emptyDir=fields(medium={"const": "Memory"})
)
TEMPLATE = fields(
    "spec",
    spec=fields("containers", containers=array(CONTAINER), volumes=array(VOLUME), terminationGracePeriodSeconds=COUNT),
)
START_PARAMS = {"type": "object", "additionalProperties": STRING}
CLUSTER = fields(
    "rayVersion headGroupSpec workerGroupSpecs",
    rayVersion=STRING,
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=fields(
        upscalingMode={"enum": ["Default", "Conservative", "Aggressive"]}, idleTimeoutSeconds=COUNT
    ),
    authOptions=fields("mode", mode={"enum": ["token", "disabled"]}, secretName=STRING),
    gcsFaultToleranceOptions=fields(
        "redisAddress",
        redisAddress=STRING,
        redisPassword=fields(
            valueFrom=fields("secretKeyRef", secretKeyRef=fields("name key", name=STRING, key=STRING))
        ),
    ),
    headGroupSpec=fields("rayStartParams template", rayStartParams=START_PARAMS, template=TEMPLATE),
    workerGroupSpecs=array(
        fields(
            "groupName replicas minReplicas maxReplicas rayStartParams template",
            groupName=STRING,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=START_PARAMS,
            template=TEMPLATE,
        )
    ),
)


def resource(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return fields(
        "apiVersion kind metadata spec",
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=NAMED,
        spec=spec,
    )


RAY_SERVICE = resource(
    "RayService",
    fields(
        "serveConfigV2 rayClusterConfig",
        upgradeStrategy=fields("type", type={"enum": ["NewCluster", "None"]}),
        rayClusterDeletionDelaySeconds=COUNT,
        serveConfigV2=STRING,
        rayClusterConfig=CLUSTER,
    ),
)
RAY_JOB = resource(
    "RayJob",
    fields(
        "entrypoint rayClusterSpec",
        entrypoint=STRING,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=CLUSTER,
    ),
)
