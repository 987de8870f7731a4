"""Mistakes in the values: refused before anything is installed, in words that say which value and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from support.helm import CHART, plain

LEAST = CHART / "ci" / "least-values.yaml"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown value": ({"replica": 3}, "replica"),
    "an unknown setting": ({"settings": {"kafka": {"groupid": "x"}}}, "groupid"),
    "an unknown section": ({"settings": {"kafak": {}}}, "kafak"),
    "a setting that other values decide": ({"settings": {"web": {"port": 1}}}, "port"),
    "a text for a number": ({"settings": {"intake": {"window": "many"}}}, "window"),
    "a number out of range": ({"settings": {"intake": {"resume_below": 2}}}, "resume_below"),
    "a choice that there is not": ({"settings": {"kafka": {"guarantee": "maybe"}}}, "guarantee"),
    "an unknown field of a root": ({"settings": {"fetch": {"roots": [{"uri": "s3://a/", "public": True}]}}}, "roots"),
    "an identity that there is not": ({"identity": "iam"}, "identity"),
    "a number of workers below one": ({"replicas": 0}, "replicas"),
    "one autoscaled worker": ({"autoscaling": {"minReplicas": 1}}, "minReplicas"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "a privileged port": ({"port": 80}, "port"),
    "an unconfined profile": ({"seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
    "a peer that is none": ({"networkPolicy": {"kafka": {"to": [{"cidr": "10.0.0.0/8"}]}}}, "cidr"),
}


@pytest.mark.parametrize(("values", "word"), MISTAKES.values(), ids=MISTAKES.keys())
def test_the_schema_refuses_a_mistake_and_names_it(helm, values, word):
    """With the value's name, before anything is rendered."""
    told = helm.refuses(LEAST, values=values)
    assert "specifications of the schema" in told
    assert word in told


KEDA = {"type": "keda", "keda": {"prometheusAddress": "http://p:9090"}}
CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no image": ({"image": {"repository": ""}}, "image.repository is empty: build the image from deploy/Dockerfile"),
    "a floating tag": ({"image": {"tag": "latest"}}, "image.tag is latest"),
    "nothing to look for": ({"lists": {"source": "none"}}, "there would be nothing to look for"),
    "too many workers": ({"replicas": 25}, "replicas is 25, kafka.partitions is 24: a partition is worked by one"),
    "scaled too far": (
        {"autoscaling": KEDA | {"maxReplicas": 30}},
        "autoscaling.maxReplicas is 30, kafka.partitions is 24",
    ),
    "a least above the most": ({"autoscaling": KEDA | {"minReplicas": 5, "maxReplicas": 4}}, "minReplicas is 5, above"),
    "keda without prometheus": ({"autoscaling": {"type": "keda"}}, "keda.prometheusAddress is empty"),
    "an hpa without cpu": ({"autoscaling": {"type": "hpa", "cpuUtilization": 0}}, "cpuUtilization is 0"),
    "a lag that keda can't ask for": (
        {"autoscaling": KEDA, "settings": {"kafka": {"security_protocol": "SSL"}}},
        "keda.kafkaAuthentication is empty",
    ),
    "a claim without a name": ({"model": {"source": "pvc"}}, "model.claimName is empty"),
    "an image without a name": ({"lists": {"source": "copy"}}, "lists.image is empty"),
    "lists without paths": ({"lists": {"paths": []}}, "lists.paths is empty"),
    "a relative path": ({"model": {"source": "path", "path": "ours"}}, "model.path must be absolute"),
    "a secret that is not mounted": (
        {
            "settings": {
                "kafka": {"security_protocol": "SSL", "ca_file": "/run/secrets/framewatch/kafka/ca.pem"},
            }
        },
        "settings.kafka.ca_file is /run/secrets/framewatch/kafka/ca.pem, but Secret kafka is not mounted",
    ),
    "a setting among the environment": (
        {"extraEnv": [{"name": "FRAMEWATCH_LOG_LEVEL", "value": "debug"}]},
        "FRAMEWATCH_LOG_LEVEL is a setting of the worker: it belongs below settings",
    ),
    "no cpu limit": ({"resources": {"limits": {"cpu": None}}}, "resources.limits.cpu is not set"),
    "no memory limit": ({"resources": {"limits": {"memory": None}}}, "resources.limits.memory is not set"),
    "too little memory": (
        {"resources": {"limits": {"memory": "256Mi"}, "requests": {"memory": "256Mi"}}},
        "resources.limits.memory is 256Mi, but the bodies in work alone may take 536870912 bytes",
    ),
    "a store that nobody may reach": (
        {"settings": {"fetch": {"roots": ["s3://a/"]}}},
        "networkPolicy.stores.to is empty, but settings.fetch.roots has s3://a/",
    ),
    "a token exchange that nobody may reach": ({"identity": "irsa"}, "networkPolicy.identityEndpoint.to is empty"),
    "a collector that nobody may reach": (
        {"settings": {"telemetry": {"otlp_endpoint": "http://collector:4318/v1/traces"}}},
        "networkPolicy.extraEgress is empty, but settings.telemetry.otlp_endpoint is http://collector:4318/v1/traces",
    ),
    "brokers without a port": ({"settings": {"kafka": {"bootstrap_servers": "kafka"}}}, "names no port"),
}


@pytest.mark.parametrize(("values", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_what_contradicts_itself_is_refused_in_words(helm4, values, words):
    """One sentence: which value, and what to do."""
    assert words in plain(helm4.refuses(LEAST, values=values))


def test_all_contradictions_are_told_at_once_by_both_helms(helm):
    """Nobody mends one, renders, and mends the next."""
    values = {"image": {"repository": ""}, "replicas": 25, "identity": "azure"}
    told = plain(helm.refuses(LEAST, values=values))
    for words in ("image.repository is empty", "replicas is 25", "identityEndpoint.to is empty"):
        assert words in told


def test_image_volumes_are_refused_where_a_restricted_namespace_would_refuse_them(helm4):
    """Kubernetes lets them through from 1.33 on."""
    values = {"model": {"source": "image", "image": "registry.example/m:1"}}
    assert "lets no restricted pod have image volumes" in plain(
        helm4.refuses(LEAST, values=values, kubernetes="1.32.9")
    )
    helm4.render(LEAST, values=values, kubernetes="1.33.0")


def test_the_defaults_alone_say_what_is_required(helm4):
    """The first try of somebody who has read nothing."""
    told = plain(helm4.refuses(values={}))
    for words in ("image.repository is empty", "bootstrap_servers is empty", "nothing to look for"):
        assert words in told
