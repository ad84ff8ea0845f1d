"""The manifests: valid, confined, and in agreement with the project and with each other."""

import re
import shlex
import subprocess
from typing import Any

import kubernetes_validate
import pytest

from pipelines import config
from pipelines.service.settings import ServerSettings
from tests.docker.project import DOCKER, USER, documents, parsed, parsed_line, pinned, version

FILES = sorted(p.name for p in (DOCKER / "kubernetes").glob("*.yaml"))
KUSTOMIZATION = documents("kubernetes/kustomization.yaml")[0]
OBJECTS = [d for name in FILES if "kustom" not in name for d in documents(f"kubernetes/{name}")]
CLUSTER_FIELDS = {
    "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "authOptions", "headGroupSpec",
    "workerGroupSpecs",
}  # fmt: skip
"""Those of KubeRay's RayCluster that are used; a misspelt one would be dropped without a word."""
GROUP_FIELDS = {
    "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
    "serviceType",
}  # fmt: skip


def one(kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [
        each for each in OBJECTS
        if each["kind"] == kind and name in (None, each["metadata"].get("name"))
    ]  # fmt: skip
    return found


def clusters() -> list[dict[str, Any]]:
    return [one("RayCluster")["spec"], one("RayJob")["spec"]["rayClusterSpec"]]


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def templates() -> list[dict[str, Any]]:
    rays = [group["template"] for cluster in clusters() for group in groups(cluster)]
    return [*rays, one("Deployment")["spec"]["template"]]


def containers() -> list[dict[str, Any]]:
    specs = [template["spec"] for template in templates()]
    return [c for spec in specs for c in (*spec["containers"], *spec.get("initContainers", []))]


def server() -> dict[str, Any]:
    return one("Deployment")["spec"]["template"]["spec"]["containers"][0]


def test_every_file_is_applied_or_says_how():
    assert set(KUSTOMIZATION["resources"]) == {*FILES} - {"kustomization.yaml", "rayjob.yaml"}
    text = (DOCKER / "kubernetes" / "rayjob.yaml").read_text()
    assert "kubectl create -n reelmill -f docker/kubernetes/rayjob.yaml" in text


@pytest.mark.parametrize(
    "found", [o for o in OBJECTS if "ray.io" not in o["apiVersion"]], ids=lambda o: o["kind"]
)
def test_what_kubernetes_knows_is_valid_to_it(found):
    kubernetes_validate.validate(found, "1.37", strict=True)


def test_pods_of_ray_are_valid_too_and_their_fields_are_those_of_kuberay():
    for cluster in clusters():
        assert cluster.keys() <= CLUSTER_FIELDS
        for group in groups(cluster):
            assert group.keys() <= GROUP_FIELDS
            pod = {"apiVersion": "v1", "kind": "PodTemplate", "template": group["template"]}
            kubernetes_validate.validate(pod, "1.37", strict=True)


def test_versions_agree_with_the_project():
    assert {cluster["rayVersion"] for cluster in clusters()} == pinned()["ray"]
    images = {container["image"] for container in containers()}
    assert images == {f"reelmill:{version()}", f"reelmill-cuda:{version()}"}
    assert {i["name"]: i["newTag"] for i in KUSTOMIZATION["images"]} == {
        "reelmill": version(), "reelmill-cuda": version(),
    }  # fmt: skip
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert all(f"-t {image} ." in re.sub(" +", " ", dockerfile) for image in images)


def test_a_gpu_is_asked_for_where_the_image_can_use_one():
    for container in containers():
        has_gpu = "nvidia.com/gpu" in container["resources"]["limits"]
        assert has_gpu == container["image"].startswith("reelmill-cuda")


def test_every_pod_is_confined():
    for template in templates():
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (USER, USER, USER)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    autoscaler = one("RayCluster")["spec"]["autoscalerOptions"]["securityContext"]
    assert autoscaler["allowPrivilegeEscalation"] is False
    assert autoscaler["capabilities"] == {"drop": ["ALL"]}
    enforced = one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert enforced == "restricted"


def test_what_is_written_is_mounted_and_only_the_server_sees_the_keys():
    claims = {e["metadata"]["name"]: e["spec"]["accessModes"] for e in OBJECTS
              if e["kind"] == "PersistentVolumeClaim"}  # fmt: skip
    assert claims == {"reelmill-state": ["ReadWriteOnce"], "reelmill-jobs": ["ReadWriteMany"]}
    holders = []
    for template in templates():
        spec = template["spec"]
        volumes = {v["name"]: v.get("persistentVolumeClaim", {}) for v in spec["volumes"]}
        for container in (*spec["containers"], *spec.get("initContainers", [])):
            places = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
            assert "/tmp" in places
            for place, claim in places.items():
                if name := claim.get("claimName"):
                    assert name in claims
                    holders.append((container["name"], place, name))
    state = str(parsed("reelmill", server()["args"])["state"])
    assert set(holders) == {
        ("server", state, "reelmill-state"), ("first-key", state, "reelmill-state"),
        ("server", f"{state}/jobs", "reelmill-jobs"),
        ("first-key", f"{state}/jobs", "reelmill-jobs"),
        ("ray-head", f"{state}/jobs", "reelmill-jobs"),
    }  # fmt: skip


def test_tokens_are_asked_for_everywhere_and_come_from_secrets():
    auth = {"mode": "token", "secretName": "reelmill-ray"}
    assert all(cluster["authOptions"] == auth for cluster in clusters())
    assert not [each for each in OBJECTS if each["kind"] == "Secret"]
    found = {e["name"]: e for e in server()["env"]}
    assert found["RAY_AUTH_MODE"]["value"] == "token"
    assert found["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {
        "name": auth["secretName"], "key": "auth_token",
    }  # fmt: skip
    for container in containers():
        for each in container.get("env", []):
            assert "value" not in each or not re.search("TOKEN|KEY|SECRET", each["name"])


def test_the_server_is_told_what_it_takes_and_where_the_cluster_is():
    meant = parsed("reelmill", server()["args"])
    assert (meant["command"], meant["host"]) == ("serve", "0.0.0.0")
    head = one("RayCluster")
    (port,) = [
        p["containerPort"]
        for p in head["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]
        if p["name"] == "dashboard"
    ]
    assert meant["ray_jobs"] == f"http://{head['metadata']['name']}-head-svc:{port}"
    assert meant["port"] == server()["ports"][0]["containerPort"]
    assert meant["name"] == [one("Service")["metadata"]["name"]]
    assert one("Deployment")["spec"]["replicas"] == 1
    assert one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("probe", ["readinessProbe", "livenessProbe", "startupProbe"])
def test_probes_go_by_a_name_that_the_server_answers_to(probe, tmp_path):
    asked = server()[probe]["httpGet"]
    assert (asked["path"], asked["port"]) == ("/healthz", server()["ports"][0]["name"])
    (header,) = asked["httpHeaders"]
    hosts = ServerSettings(root=str(tmp_path), state=tmp_path, host="0.0.0.0").allowed_hosts
    assert header["name"] == "Host"
    assert header["value"] in hosts


def test_the_first_token_is_made_where_the_server_looks_and_never_said_aloud():
    (made,) = one("Deployment")["spec"]["template"]["spec"]["initContainers"]
    assert made["command"] == ["sh", "-c"]
    (script,) = made["args"]
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    lines = [line.strip() for line in script.splitlines() if line.strip().startswith("reelmill")]
    listed, created = (parsed_line(line) for line in lines)
    assert (listed["command"], created["command"], created["scope"]) == ("list", "create", "admin")
    meant = parsed("reelmill", server()["args"])
    for each in (listed, created):
        assert (each["root"], each["state"]) == (meant["root"], meant["state"])
    assert lines[1].endswith(f"> {meant['state']}/first-key")
    assert script.startswith("umask 077")


def test_the_job_is_a_command_that_joins_its_own_cluster():
    meant = parsed_line(one("RayJob")["spec"]["entrypoint"])
    assert (meant["command"], meant["videos"]) == ("curate", ["s3://reelmill/videos"])
    execution = config.load(None, meant["set_"]).execution
    assert (execution.executor, execution.address) == ("ray", "auto")


def test_start_parameters_are_options_of_ray():
    for cluster in clusters():
        for group in groups(cluster):
            words = []
            for name, value in group["rayStartParams"].items():
                words += [f"--{name}"] if value == "true" else [f"--{name}", value]
            assert parsed("ray", ["start", *words])["disable_usage_stats"] is True


def test_policies_let_in_only_who_has_to():
    deny = one("NetworkPolicy", "deny-ingress")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress"]}
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    guard = one("NetworkPolicy", "server")["spec"]
    assert guard["podSelector"]["matchLabels"] == labels == one("Service")["spec"]["selector"]
    assert [p["port"] for rule in guard["ingress"] for p in rule["ports"]] == [
        server()["ports"][0]["containerPort"]
    ]
    among, jobs = one("NetworkPolicy", "ray")["spec"]["ingress"]
    assert among == {"from": [{"podSelector": {
        "matchExpressions": [{"key": "ray.io/cluster", "operator": "Exists"}]}}]}  # fmt: skip
    assert jobs["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert [peer["podSelector"]["matchLabels"] for peer in jobs["from"]] == [
        labels, {"app.kubernetes.io/name": "kuberay-operator"},
    ]  # fmt: skip
    assert one("Service")["spec"]["type"] == "ClusterIP"
    assert {c["headGroupSpec"]["serviceType"] for c in clusters()} == {"ClusterIP"}


def test_lines_for_people_in_the_comments_are_those_of_the_project():
    text = "".join((DOCKER / "kubernetes" / name).read_text() for name in FILES)
    for path in re.findall(r"docker/kubernetes[\w/.-]*", text):
        assert (DOCKER.parent / path.rstrip(".")).exists(), path
    assert shlex.split("kubectl apply -k docker/kubernetes")[-1] in text
