"""The stack in template.yaml, expanded by AWS' own SAM transform and read as CloudFormation would."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from samtranslator.translator.transform import transform

from app import observability
from app.api import create_app
from app.middleware import SECURITY_HEADERS
from app.model import Model
from app.settings import Settings
from app.store import EMBEDDED, ModelSource

ROOT = Path(__file__).parent.parent.parent
FUNCTION = "PricingFunction"
GATEWAY_TIMEOUT = 29  # seconds; API Gateway's own limit
OPEN = {
    "GET /",
    "GET /salud",
    "GET /modelo",
    "GET /docs",
    "GET /redoc",
    "GET /openapi.json",
    "GET /estaticos/{proxy+}",
    "GET /estimar",
    "GET /estimar/{proxy+}",
    "OPTIONS /{proxy+}",
}

Resource = dict[str, Any]


class _Template(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, `!Ref x` being {"Ref": "x"}."""


def _long_form(loader: _Template, name: str, node: yaml.Node) -> dict[str, Any]:
    key = name if name in ("Ref", "Condition") else f"Fn::{name}"
    if isinstance(node, yaml.SequenceNode):
        return {key: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {key: loader.construct_mapping(node, deep=True)}
    value = str(node.value)
    return {key: value.split(".", 1) if name == "GetAtt" else value}


_Template.add_multi_constructor("!", _long_form)


class _NoPolicies:
    """The transform asks AWS for the names of managed policies; the template uses none of them."""

    def load(self) -> dict[str, str]:
        return {}


def source() -> dict[str, Any]:
    template: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Template)  # noqa: S506 - a SafeLoader
    return template


@cache
def expanded(**parameters: str) -> dict[str, Any]:
    """The template as CloudFormation gets it from SAM, with these parameters and the others' defaults."""
    template = source()
    for name in (FUNCTION, "BatchFunction"):
        template["Resources"][name]["Properties"]["ImageUri"] = "123456789012.dkr.ecr.eu-south-2.amazonaws.com/x:1"
    template["Resources"]["BatchMachine"]["Properties"]["DefinitionUri"] = "s3://bucket/key"  # where sam uploads it
    for name in ("SecurityPolicy", "EndpointAccessMode"):  # newer than the transform that fits our pydantic
        del template["Resources"]["PricingApi"]["Properties"][name]
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}
    result: dict[str, Any] = transform(template, defaults | parameters, _NoPolicies())
    return result


@pytest.fixture(scope="module", autouse=True)
def region() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-south-2")  # the transform writes ARNs for one
        yield


@pytest.fixture
def client() -> TestClient:
    """Of the application with the model that ships."""
    served = SimpleNamespace(model=Model.load(EMBEDDED.read_bytes()), origin="embedded")
    return TestClient(create_app(SimpleNamespace(current=served)))


def resources(kind: str, **parameters: str) -> dict[str, Resource]:
    """Logical names and resources of one kind."""
    return {name: r for name, r in expanded(**parameters)["Resources"].items() if r["Type"] == kind}


def properties(name: str, **parameters: str) -> dict[str, Any]:
    found: dict[str, Any] = expanded(**parameters)["Resources"][name]["Properties"]
    return found


def mentions(part: Any) -> set[str]:
    """Every name that a part of the template refers to with Ref, GetAtt, Sub or If."""
    if isinstance(part, list):
        return set().union(*map(mentions, part))
    if not isinstance(part, dict):
        return set()
    names = set()
    for key, value in part.items():
        if key == "Ref":
            names.add(value)
        elif key == "Fn::GetAtt":
            names.add(value[0])
        elif key == "Fn::Sub":
            text, given = (value, {}) if isinstance(value, str) else value
            names |= {name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text) if name not in given}
        elif key == "Fn::If":
            names |= mentions(source()["Conditions"][value[0]])
        names |= mentions(value)
    return names


def gateway_rule(method: str, path: str) -> str | None:
    """The method of the API that a request reaches: the most exact path, then the method or ANY."""
    paths = properties("PricingApi")["Body"]["paths"]
    greedy = (p for p in sorted(paths, key=len, reverse=True) if p.endswith("{proxy+}"))
    at = path if path in paths else next((p for p in greedy if path.startswith(p.removesuffix("{proxy+}"))), None)
    if at is None:
        return None
    if method.lower() in paths[at]:
        return f"{method} {at}"
    return f"ANY {at}" if "x-amazon-apigateway-any-method" in paths[at] else None


def needs_key(rule: str) -> bool:
    method, path = rule.split()
    operation = properties("PricingApi")["Body"]["paths"][path]
    security = operation["x-amazon-apigateway-any-method" if method == "ANY" else method.lower()]["security"]
    return {"api_key": []} in security


# --- who may call what


def test_only_what_costs_nothing_is_open() -> None:
    paths = properties("PricingApi")["Body"]["paths"]
    rules = {
        f"{'ANY' if method.startswith('x-') else method.upper()} {path}" for path in paths for method in paths[path]
    }

    assert {rule for rule in rules if not needs_key(rule)} == OPEN
    assert properties("PricingApi")["Body"]["components"]["securitySchemes"]["api_key"] == {
        "type": "apiKey",
        "name": "x-api-key",
        "in": "header",
    }


@pytest.mark.parametrize("path", ["/predecir", "/predecir/lote", "/evaluar", "/explicar", "/nada", "/predecir/"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_prices_and_whatever_is_not_listed_need_the_key(method: str, path: str) -> None:
    rule = gateway_rule(method, path)

    assert rule == "ANY /{proxy+}"
    assert needs_key(rule)


@pytest.mark.parametrize(
    "path", ["/", "/salud", "/modelo", "/docs", "/redoc", "/openapi.json", "/estaticos/docs.js", "/estimar"]
)
def test_a_person_without_a_key_can_look_around(path: str) -> None:
    rule = gateway_rule("GET", path)

    assert rule is not None
    assert not needs_key(rule)


@pytest.mark.parametrize("path", ["/predecir", "/predecir/lote"])
def test_a_browser_can_ask_without_a_key_whether_it_may_call(path: str) -> None:
    rule = gateway_rule("OPTIONS", path)

    assert rule is not None
    assert not needs_key(rule)


def test_every_method_reaches_the_live_version() -> None:
    paths = properties("PricingApi")["Body"]["paths"]

    uris = [m["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"] for p in paths.values() for m in p.values()]

    assert all(f"${{{FUNCTION}Aliaslive}}" in uri for uri in uris)


def test_there_is_one_stage_with_a_limited_key() -> None:
    (plan,) = resources("AWS::ApiGateway::UsagePlan").values()
    (stage,) = resources("AWS::ApiGateway::Stage").values()

    assert stage["Properties"]["StageName"] == "live"
    assert plan["Properties"]["Quota"] == {"Limit": "1000000", "Period": "MONTH"}
    assert set(plan["Properties"]["Throttle"]) == {"RateLimit", "BurstLimit"}
    assert len(resources("AWS::ApiGateway::ApiKey")) == 1


def rates() -> dict[str, Any]:
    """Calls a second that each method bears."""
    (stage,) = resources("AWS::ApiGateway::Stage").values()
    return {
        f"{s['HttpMethod']} {s['ResourcePath'].replace('~1', '/').replace('//', '/')}": s["ThrottlingRateLimit"]
        for s in stage["Properties"]["MethodSettings"]
    }


def test_open_methods_bear_less_than_keyed_ones() -> None:
    settings = rates()

    assert settings.pop("* /*") == {"Ref": "RequestsPerSecond"}
    assert set(settings) == OPEN
    assert max(settings.values()) < source()["Parameters"]["RequestsPerSecond"]["Default"]


def test_the_worst_bill_of_the_open_routes_is_what_the_page_says(client: TestClient) -> None:
    offline = find_spec("fastapi_offline")
    assert offline is not None
    assert offline.origin is not None
    folders = {"docs": Path(offline.origin).parent / "static", "": ROOT / "app" / "web" / "estaticos"}
    files = [
        f"/estaticos/{prefix}/{path.relative_to(folder)}".replace("//", "/")
        for prefix, folder in folders.items()
        for path in folder.rglob("*.*")
    ]
    largest = {"/estaticos/{proxy+}": files, "/estimar/{proxy+}": ["/estimar/superficie.json"], "/{proxy+}": []}
    calls = traffic = 0.0
    for rule, rate in rates().items():
        method, path = rule.split()
        if method != "*":
            answers = [client.get(one) for one in largest.get(path, [path])]
            assert all(answer.status_code == 200 for answer in answers)
            longest = max((len(answer.content) for answer in answers), default=0) + 1_000  # for its headers
            calls += rate * 31 * 86_400
            traffic += rate * 31 * 86_400 * longest

    said = (ROOT / "docs" / "security.md").read_text()
    assert f"{calls / 1e6:.0f} million calls and {traffic / 1e12:.1f} TB" in said
    assert f"{calls / 1e6:.0f} million calls and {traffic / 1e12:.1f} TB" in (ROOT / "template.yaml").read_text()
    (a_million,) = re.findall(r"together\*\* \| \*\*([\d.]+)\*\*", (ROOT / "docs" / "deploy.md").read_text())
    a_gigabyte, at_most = (
        float(re.findall(pattern, said)[0].replace(",", ""))
        for pattern in (r"([\d.]+) USD a GB", r"a bill, under ([\d,]+) USD")
    )
    assert 0.9 * at_most < calls / 1e6 * float(a_million) + traffic / 1e9 * a_gigabyte < at_most


def test_old_tls_is_refused() -> None:
    api = source()["Resources"]["PricingApi"]["Properties"]

    assert api["SecurityPolicy"] == "SecurityPolicy_TLS13_1_2_2021_06"
    assert api["EndpointAccessMode"] == "STRICT"


# --- what the function may do


def test_the_function_may_read_the_models_write_its_log_and_send_traces_and_nothing_else() -> None:
    role = properties("PricingRole")
    statements = [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]

    assert "ManagedPolicyArns" not in role
    assert [(s["Effect"], s["Action"], s["Resource"]) for s in statements] == [
        ("Allow", "s3:GetObject", {"Fn::Sub": "${ModelBucket.Arn}/models/*"}),
        ("Allow", ["logs:CreateLogStream", "logs:PutLogEvents"], {"Fn::GetAtt": ["PricingLogs", "Arn"]}),
        ("Allow", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
    ]
    assert properties(FUNCTION)["Role"] == {"Fn::GetAtt": ["PricingRole", "Arn"]}


def test_the_model_is_asked_for_where_the_function_may_read() -> None:
    variables = properties(FUNCTION)["Environment"]["Variables"]

    assert variables["MODEL_URI"] == {"Fn::Sub": "s3://${ModelBucket}/models"}
    assert expanded()["Outputs"]["ModelUri"]["Value"] == variables["MODEL_URI"]


def test_each_role_can_be_taken_on_by_one_service() -> None:
    roles = resources("AWS::IAM::Role")
    services = {name: r["Properties"]["AssumeRolePolicyDocument"]["Statement"] for name, r in roles.items()}

    assert {name: [s["Principal"]["Service"] for s in rows] for name, rows in services.items()} == {
        "PricingRole": ["lambda.amazonaws.com"],
        "BatchRole": ["lambda.amazonaws.com"],
        "BatchMachineRole": ["states.amazonaws.com"],
        "DeploymentRole": ["codedeploy.amazonaws.com"],
        "GatewayLogRole": ["apigateway.amazonaws.com"],
    }


def test_sam_may_make_the_roles_since_none_has_a_name() -> None:
    assert all("RoleName" not in role["Properties"] for role in resources("AWS::IAM::Role").values())
    assert 'capabilities = "CAPABILITY_IAM"' in (ROOT / "samconfig.toml").read_text()


# --- the function


def test_the_function_gives_up_before_the_gateway_does() -> None:
    assert properties(FUNCTION)["Timeout"] < GATEWAY_TIMEOUT


def test_concurrency_and_snapshots_are_off_unless_asked_for() -> None:
    parameters, conditions = source()["Parameters"], source()["Conditions"]
    no_value = {"Ref": "AWS::NoValue"}

    assert parameters["ReservedConcurrency"]["Default"] == -1
    assert parameters["ProvisionedConcurrency"]["Default"] == 0
    assert parameters["SnapStart"]["Default"] == "off"
    assert conditions["HasReservedConcurrency"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "ReservedConcurrency"}, "-1"]}]}
    assert properties(FUNCTION)["ReservedConcurrentExecutions"]["Fn::If"][2] == no_value
    assert properties(f"{FUNCTION}Aliaslive")["ProvisionedConcurrencyConfig"]["Fn::If"][2] == no_value
    assert properties(FUNCTION)["SnapStart"]["ApplyOn"]["Fn::If"][1:] == ["PublishedVersions", "None"]


def test_snapshots_and_provisioned_concurrency_exclude_each_other() -> None:
    (rule,) = expanded()["Rules"].values()

    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "SnapStart"}, "on"]}
    assert [a["Assert"] for a in rule["Assertions"]] == [{"Fn::Equals": [{"Ref": "ProvisionedConcurrency"}, "0"]}]


# --- versions and rollback


def version(**parameters: str) -> tuple[str, Resource]:
    ((name, resource),) = resources("AWS::Lambda::Version", **parameters).items()
    return name, resource


def test_a_changed_parameter_alone_would_publish_no_version() -> None:
    """What makes the description below necessary; when this fails, SAM has learned it."""
    assert version(MemorySize="1024")[0] == version()[0]


def test_a_version_is_described_by_the_parameters_its_configuration_reads_and_no_others() -> None:
    configuration = properties(FUNCTION) | {"ReservedConcurrentExecutions": None}  # of the function, not the version
    read = mentions(configuration) & set(source()["Parameters"])

    assert mentions(version()[1]["Properties"]["Description"]) == read


def test_the_longest_description_fits() -> None:
    parameters = source()["Parameters"]
    text = version()[1]["Properties"]["Description"]["Fn::Sub"]
    for name in mentions({"Fn::Sub": text}):
        choices = [str(c) for c in parameters[name].get("AllowedValues", [])]
        limits = [str(parameters[name].get("MaxValue", "")), "x" * parameters[name].get("MaxLength", 0)]
        text = text.replace(f"${{{name}}}", max(choices + limits, key=len))

    assert "${" not in text
    assert len(text) <= 256


def test_replaced_versions_stay_for_a_rollback() -> None:
    _, resource = version()

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_new_version_gets_a_tenth_of_the_calls_and_is_taken_back_when_an_alarm_rings() -> None:
    (group,) = resources("AWS::CodeDeploy::DeploymentGroup").values()
    settings = group["Properties"]
    update = expanded()["Resources"][f"{FUNCTION}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]

    assert settings["DeploymentConfigName"] == {
        "Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": "Canary10Percent5Minutes"}]
    }
    assert settings["AlarmConfiguration"] == {
        "Enabled": True,
        "Alarms": [{"Name": {"Ref": "ServerErrorsAlarm"}}, {"Name": {"Ref": "LatencyAlarm"}}],
    }
    assert "DEPLOYMENT_STOP_ON_ALARM" in settings["AutoRollbackConfiguration"]["Events"]
    assert update["DeploymentGroupName"] == {"Ref": f"{FUNCTION}DeploymentGroup"}


def test_a_release_can_go_out_while_an_alarm_rings() -> None:
    alias = expanded(GradualDeployment="false")["Resources"][f"{FUNCTION}Aliaslive"]

    assert "UpdatePolicy" not in alias


# --- the bucket


def test_models_are_versioned() -> None:
    assert properties("ModelBucket")["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize("name", ["ModelBucket", "BatchBucket"])
def test_every_bucket_is_private_encrypted_and_outlives_the_stack(name: str) -> None:
    bucket = expanded()["Resources"][name]
    settings = bucket["Properties"]
    (encryption,) = settings["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert len(settings["PublicAccessBlockConfiguration"]) == 4
    assert all(value is True for value in settings["PublicAccessBlockConfiguration"].values())


@pytest.mark.parametrize("name", ["ModelBucket", "BatchBucket"])
def test_every_bucket_is_reached_over_tls_only_even_when_the_stack_is_gone(name: str) -> None:
    policy = expanded()["Resources"][f"{name}Policy"]
    statements = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["DeletionPolicy"] == "Retain"
    assert all((s["Effect"], s["Principal"], s["Action"]) == ("Deny", "*", "s3:*") for s in statements)
    assert [s["Condition"] for s in statements] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]


# --- logs, alarms, dashboard


def test_every_log_is_kept_for_a_limited_time() -> None:
    groups = resources("AWS::Logs::LogGroup")

    assert set(groups) == {"PricingLogs", "BatchLogs", "AccessLogs"}
    assert all(g["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"} for g in groups.values())
    assert properties(FUNCTION)["LoggingConfig"]["LogGroup"] == {"Ref": "PricingLogs"}


def test_metrics_are_never_filtered_out_of_the_log() -> None:
    level = properties(FUNCTION)["LoggingConfig"]["ApplicationLogLevel"]

    assert level == {"Fn::If": ["IsDebug", "DEBUG", "INFO"]}


def test_the_access_log_holds_no_bodies_no_queries_and_no_keys() -> None:
    (stage,) = resources("AWS::ApiGateway::Stage").values()
    fields = json.loads(stage["Properties"]["AccessLogSetting"]["Format"])

    assert {"status", "path", "latencyMs", "apiKeyId", "error"} <= set(fields)
    assert not re.search(r"body|query|\$input|apiKey$|authorizer", " ".join(fields.values()))
    assert all(not s.get("DataTraceEnabled") for s in stage["Properties"]["MethodSettings"])


@pytest.mark.parametrize("name", ["ServerErrorsAlarm", "LatencyAlarm", "ThrottlesAlarm", "EmbeddedModelAlarm"])
def test_every_alarm_reaches_the_topic_and_none_rings_in_silence(name: str) -> None:
    alarm = properties(name)

    assert set(resources("AWS::CloudWatch::Alarm")) >= {name}
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmDescription"]


def test_cloudwatch_may_write_to_the_topic() -> None:
    (statement,) = properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]

    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"


def test_the_gateway_alarms_watch_this_api() -> None:
    api, (stage,) = properties("PricingApi"), resources("AWS::ApiGateway::Stage").values()
    watched = [properties("LatencyAlarm")["Dimensions"]] + [
        m["MetricStat"]["Metric"]["Dimensions"] for m in properties("ServerErrorsAlarm")["Metrics"] if "MetricStat" in m
    ]

    assert watched == 3 * [
        [{"Name": "ApiName", "Value": api["Name"]}, {"Name": "Stage", "Value": stage["Properties"]["StageName"]}]
    ]


@pytest.fixture
def told_like_lambda() -> Iterator[Settings]:
    """Settings as the template makes them, with nothing listening where S3 should be; logs and metrics as on Lambda."""
    settings = Settings.from_environment(
        {
            "MODEL_URI": "s3://bucket/models",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "MODEL_CACHE_DIR": "/dev/null/none",
            "POWERTOOLS_SERVICE_NAME": "una-pila",
            "LOG_FORMAT": "json",
        }
    )
    observability.configure(settings)
    yield settings
    observability.configure(Settings())


def test_the_embedded_model_alarm_hears_what_the_application_says(
    told_like_lambda: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    alarm = properties("EmbeddedModelAlarm")

    ModelSource(told_like_lambda).load()

    record = next(line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line)
    (told,) = record["_aws"]["CloudWatchMetrics"]
    (dimension,) = alarm["Dimensions"]
    assert told["Namespace"] == alarm["Namespace"]
    assert alarm["MetricName"] in {metric["Name"] for metric in told["Metrics"]}
    assert told["Dimensions"] == [[dimension["Name"]]]
    assert record[alarm["MetricName"]] == [1.0]
    assert record[dimension["Name"]] == "una-pila"
    assert dimension["Value"] == properties(FUNCTION)["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]


def test_the_function_is_told_only_what_the_application_reads() -> None:
    variables = set(properties(FUNCTION)["Environment"]["Variables"])

    assert variables <= {name.upper() for name in Settings.model_fields}


def test_the_dashboard_is_json_and_shows_every_alarm() -> None:
    body = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    alarms = next(w for w in json.loads(body)["widgets"] if w["type"] == "alarm")["properties"]["alarms"]

    assert {alarm.strip("${}").removesuffix(".Arn") for alarm in alarms} == set(resources("AWS::CloudWatch::Alarm"))


# --- CORS


def test_errors_of_the_gateway_look_like_the_applications_and_can_be_read_across_origins_where_asked() -> None:
    answers = properties("PricingApi")["Body"]["x-amazon-apigateway-gateway-responses"]

    assert set(answers) == {"DEFAULT_4XX", "DEFAULT_5XX"}
    for answer in answers.values():
        assert answer["responseTemplates"] == {"application/json": '{"detail": $context.error.messageString}'}
        headers = {
            name.removeprefix("gatewayresponse.header.").lower(): value
            for name, value in answer["responseParameters"].items()
        }
        assert headers.pop("access-control-allow-origin") == {"Fn::If": ["HasCors", "'*'", {"Ref": "AWS::NoValue"}]}
        assert headers.items() >= {name.decode(): f"'{value.decode()}'" for name, value in SECURITY_HEADERS}.items()
        assert headers["x-frame-options"] == "'DENY'"


@pytest.mark.parametrize(
    ("origins", "fine"),
    [
        ("", True),
        ("*", True),
        ("https://example.com", True),
        ("https://a.example,http://localhost:3000", True),
        ("example.com", False),
        ("https://a.example, https://b.example", False),
        ("https://a.example'", False),
    ],
)
def test_origins_are_checked_before_anything_is_deployed(origins: str, fine: bool) -> None:
    pattern = source()["Parameters"]["CorsOrigins"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, origins)) is fine


# --- what a person gets


def test_the_outputs_say_where_it_is_and_how_to_call_it() -> None:
    outputs = expanded()["Outputs"]

    assert {"Url", "ApiKeyCommand", "ModelBucketName", "ModelUri", "DashboardUrl"} <= set(outputs)
    assert outputs["ApiKeyCommand"]["Value"]["Fn::Sub"][1] == {"Key": {"Ref": "PricingApiApiKey"}}
    assert all(output["Description"] for output in outputs.values())


def test_everything_named_in_the_stack_is_in_the_stack() -> None:
    template = expanded()
    known = set(template["Resources"]) | set(template["Parameters"])

    named = mentions(template["Resources"]) | mentions(template["Outputs"])

    assert {name for name in named if not name.startswith("AWS::")} <= known
