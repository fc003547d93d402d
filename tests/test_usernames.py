"""User names: what the generator proposes, and that plugins of others are held to their word."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.config import Usernames, load
from reconciler.config.pattern import FIELDS, parse
from reconciler.errors import ConfigError, ReconcileError
from reconciler.usernames import Person, Proposal, backend
from reconciler.usernames.generator import Generator
from reconciler.usernames.reserved import RESERVED

NAME = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9_])?")  # what useradd of every distribution takes
ADA = Person(
    "ou1", "u1", "ada.l", "Ada", "Lovelace", "Ada Lovelace", "a.lovelace+hpc@analytical.example.org", "alovela1"
)


def generator(**settings: Any) -> Any:
    return backend("generator", Usernames.model_validate(settings))


def one(person: Person, taken: set[str] | None = None, **settings: Any) -> Proposal:
    proposal = generator(**settings).usernames([person], frozenset(taken or ()))[person.offering_user_uuid]
    assert isinstance(proposal, Proposal)
    return proposal


def named(full_name: str, uuid: str = "ou1") -> Person:
    return Person(uuid, f"user-{uuid}", full_name=full_name)


# ------------------------------------------------------------------ what always holds

ALPHABET = st.one_of(
    st.characters(),
    st.sampled_from("abcAB 1-_.'@"),
    st.sampled_from("õßüłñ王小明ΑαБж김محד½😀\u0301\u200d\ud800"),
)
TEXT = st.text(ALPHABET, max_size=40)
SMALL = st.sampled_from(["", "root", "Slurm", "a", "ada", "Ada", "a-b-c-d-e", "Õie", "ada2", "9", "-x", "x-y"])
ALIKE = st.sampled_from(["Ada", "ADA"])  # so that they collide


def person(uuid: str, text: st.SearchStrategy[str]) -> st.SearchStrategy[Person]:
    return st.builds(
        Person,
        offering_user_uuid=st.just(uuid),
        user_uuid=st.just(f"user-{uuid}"),
        login=text,
        first_name=text,
        last_name=text,
        full_name=text,
        email=st.one_of(text, st.builds("{}@{}".format, text, text)),
        unix_name=text,
    )


def batch(text: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Person, ...]]:
    uuids = st.sets(st.sampled_from("0123456789abcdefghij"), max_size=12)
    return uuids.flatmap(lambda some: st.tuples(*(person(uuid, text) for uuid in sorted(some))))


PEOPLE = st.one_of(batch(ALIKE), batch(st.one_of(ALIKE, SMALL)), batch(st.one_of(SMALL, TEXT)))
FIELD = st.sampled_from(FIELDS)
PATTERN = st.lists(
    st.one_of(
        st.builds("{{{}}}".format, FIELD),
        st.builds("{{{}:.{}}}".format, FIELD, st.integers(1, 40)),
        st.sampled_from(["-", "_", "x", "7", "--", ""]),
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: "".join([*parts, "{last_name}"]))


@st.composite
def settings(draw: st.DrawFn) -> Usernames:
    longest = draw(st.one_of(st.just(32), st.integers(1, 32)))
    prefix = draw(st.sampled_from(["", "u", "hpc_", "a--", "x-9-"]))
    return Usernames(
        pattern=draw(PATTERN),
        fallbacks=tuple(draw(st.lists(PATTERN, max_size=3))),
        prefix=prefix if len(prefix) < longest else "",
        max_length=longest,
        min_length=draw(st.one_of(st.just(1), st.integers(1, longest))),
        count_from=draw(st.sampled_from([0, 1, 2, 9, 99])),
        reserved=tuple(draw(st.lists(st.sampled_from(["Ada", "aada", "x", "hpc_ada2"]), max_size=2))),
    )


TAKEN = st.frozensets(st.sampled_from(["ada", "ADA2", "a", "x", "root2", "aada", "AADA2", "hpc_ada", "a3", "x-y", "u"]))


@given(PEOPLE, settings(), TAKEN)
def test_every_name_is_a_new_and_valid_linux_user(people: Any, chosen: Usernames, taken: frozenset[str]) -> None:
    # the generator alone: the check of every backend's answers would hide two equal names
    proposals = Generator(chosen).usernames(people, taken)
    assert set(proposals) == {p.offering_user_uuid for p in people}
    names = [p.username for p in proposals.values() if p.username]
    assert len(names) == len(set(names))
    for name in names:
        assert NAME.fullmatch(name)
        assert chosen.min_length <= len(name) <= chosen.max_length
        assert name.startswith(chosen.prefix)
        assert len(name) > len(chosen.prefix)
        assert name not in {t.casefold() for t in (*taken, *chosen.reserved)}
        assert name not in RESERVED
    for proposal in proposals.values():
        assert bool(proposal.problem) != bool(proposal.username)
        assert proposal.problem.isprintable()


SHUFFLED = PEOPLE.flatmap(lambda people: st.tuples(st.just(people), st.permutations(people)))


@given(SHUFFLED, settings(), TAKEN)
def test_the_order_of_people_does_not_matter(both: Any, chosen: Usernames, taken: frozenset[str]) -> None:
    people, shuffled = both
    made = backend("generator", chosen)
    assert made.usernames(people, taken) == made.usernames(shuffled, taken)


@given(SHUFFLED, st.integers(0, 12), settings(), TAKEN)
def test_a_run_that_was_cut_short_goes_on_with_the_same_names(
    both: Any, cut: int, chosen: Usernames, taken: frozenset[str]
) -> None:
    """Whichever of the names were written, the others are proposed as before."""
    people, shuffled = both
    made = backend("generator", chosen)
    first = made.usernames(people, taken)
    written, rest = shuffled[:cut], shuffled[cut:]
    names = {first[p.offering_user_uuid].username for p in written} - {""}
    assert made.usernames(rest, taken | names) == {p.offering_user_uuid: first[p.offering_user_uuid] for p in rest}


# ------------------------------------------------------------------ examples


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{first_initial}{last_name}", "alovelace"),
        ("{first_name}", "ada"),
        ("{last_name}", "lovelace"),
        ("{first_name}{last_initial}", "adal"),
        ("{last_name:.6}{first_initial}", "lovelaa"),
        ("{last_name:.6}_{first_name:.2}", "lovela_ad"),
        ("{email_name}", "alovelace"),
        ("{login}", "adal"),
        ("{unix_name}", "alovela1"),
        ("{last_name}-{email_domain}", "lovelace-analytical-example-org"),
        ("ext-{last_name}", "ext-lovelace"),
        ("7{last_name}", "lovelace"),
        ("{last_name}-", "lovelace"),
        ("{first_name}-_{last_name}", "ada-lovelace"),
        ("{login:.1}{unix_name:.99}", "aalovela1"),
    ],
)
def test_patterns(pattern: str, name: str) -> None:
    assert one(ADA, pattern=pattern) == Proposal(name)


@pytest.mark.parametrize(
    ("full_name", "name"),
    [
        ("Õie Õunapuu", "oounapuu"),
        ("Jürgen Groß", "jgross"),
        ("Łukasz Żółć", "lzolc"),
        ("Ægir Þórsson", "athorsson"),
        ("Γιώργος Παπαδόπουλος", "gpapadopoylos"),
        ("Владимир Щербаков", "vshcherbakov"),
        ("Андреи\u0306", "andrey"),  # letters and accents apart
        ("王小明", "wangxiaoming"),
        ("김철수", "gimcheolsu"),
        ("Jo\u0303ao Sa\u0303o", "jsao"),
        ("Miles O’Brien", "mobrien"),
        ("Anna Maria van der Berg", "aberg"),
        ("Max Müller-Lüdenscheidt", "mmuller-ludenscheidt"),
        ("Suharto", "suharto"),
        ("Ada 😀 Lovelace 😀", "alovelace"),
        ("R Oot", "root2"),
        ("Slurm", "slurm2"),
        ("Systemd-Resolve", "systemd-resolve2"),
    ],
)
def test_names_of_many_scripts(full_name: str, name: str) -> None:
    assert one(named(full_name)).username == name


def test_parts_of_a_name_are_not_taken_from_the_full_name_when_one_is_known() -> None:
    person = Person("ou1", "u1", last_name="Lovelace", full_name="Countess Lovelace")
    assert one(person).username == "lovelace"


def test_fallbacks_stand_in_for_what_is_empty() -> None:
    person = dataclasses.replace(ADA, last_name="", unix_name="")
    assert one(person, pattern="{unix_name}", fallbacks=["{first_initial}{last_name}", "{login}"]).username == "adal"
    assert one(person).username == "ada"
    assert one(Person("ou1", "u1", email="grace@example.org")).username == "grace"


def test_why_there_is_no_name() -> None:
    nobody = one(Person("ou1", "u1", login="x"))
    assert nobody.problem == (
        "No user name can be made: the profile has no first name, last name or email address "
        "with letters to make it of."
    )
    assert "no login with letters" in one(named("Ada"), pattern="{login}", fallbacks=[]).problem
    assert '"ada" has fewer than 4 characters' in one(ADA, pattern="{first_name}", fallbacks=[], min_length=4).problem
    assert one(ADA, {"u_a"}, pattern="{first_name}", prefix="u_", max_length=3).problem.startswith("No user name can")
    full = {"ad", *(f"a{n}" for n in range(2, 10))}
    assert '"ad" is taken, and so is every' in one(ADA, full, pattern="{first_name}", max_length=2).problem


def test_counting() -> None:
    people = [named("Alice", uuid) for uuid in ("c", "a", "b")]
    got = generator().usernames(people, frozenset())
    assert {uuid: p.username for uuid, p in got.items()} == {"a": "alice", "b": "alice2", "c": "alice3"}
    assert one(named("Alice"), {"ALICE", "alice3", "Alice2"}).username == "alice4"
    assert one(named("Alice"), {"alice"}, count_from=1).username == "alice1"
    assert one(named("Alice"), {"alice", "alic2", "alic3"}, max_length=5).username == "alic4"
    assert one(named("Alice"), {"alice", *(f"alic{n}" for n in range(2, 10))}, max_length=5).username == "ali10"
    assert one(named("Alice"), {"u_al"}, prefix="u_", max_length=4).username == "u_a2"
    assert one(named("Al-Ba"), {"al-b"}, max_length=4).username == "al2"
    assert one(named("Al-Ba"), {"al-b"}, max_length=4, min_length=4).username == "al10"  # al2 is too short
    assert one(named("Alice"), reserved=["ALICE"]).username == "alice2"


def test_a_thousand_of_one_name_are_quick() -> None:
    people = [named("Alice", f"{n:04}") for n in range(1000)]
    got = generator(max_length=7).usernames(people, frozenset())
    assert [got["0000"].username, got["0001"].username, got["0999"].username] == ["alice", "alice2", "ali1000"]


def test_base_leaves_everybody_alone() -> None:
    assert backend("base", Usernames()).usernames([ADA], frozenset()) == {}


@pytest.mark.parametrize("both", [("", ""), ("ada", "why")])
def test_a_proposal_is_one_thing(both: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="either"):
        Proposal(*both)


# ------------------------------------------------------------------ plugins of other packages

PLUGIN = """\
from reconciler.usernames import Proposal

def good(settings):
    start = settings.options["start"]
    return Names(lambda people, taken: {p.offering_user_uuid: Proposal(start + p.login) for p in people})

def fails(settings):
    raise RuntimeError("no\\nLDAP server")

def halves(settings):
    return Names(lambda people, taken: 1 / 0)

def nothing(settings):
    return None

def answers(settings):
    values = settings.options
    def proposals(people, taken):
        if "raw" in values:
            return values["raw"]
        return {p.offering_user_uuid: Proposal(values["name"]) for p in people}
    return Names(proposals)

class Names:
    def __init__(self, answer):
        self.usernames = answer
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as pip leaves it behind."""
    (tmp_path / "acme_names.py").write_text(PLUGIN)
    info = tmp_path / "acme_names-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-names\nVersion: 1.0\n")
    names = ("good", "fails", "halves", "nothing", "answers", "gone")
    points = "".join(f"{name} = acme_names:{name}\n" for name in names)
    (info / "entry_points.txt").write_text(f"[reconcile.username_management_backends]\n{points}lost = nosuch_acme:x\n")
    monkeypatch.syspath_prepend(tmp_path)
    return info


@pytest.mark.usefixtures("plugin")
def test_a_plugin_of_another_package_makes_names() -> None:
    made = backend("good", Usernames(options={"start": "acme."}))
    assert made.usernames([ADA], frozenset()) == {"ou1": Proposal("acme.ada.l")}


def test_unknown_names_list_the_known_ones(plugin: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown username_management_backend 'ldap'; known: answers, base, .*good"):
        backend("ldap", Usernames())
    with (plugin / "entry_points.txt").open("a") as points:
        points.write("base = acme_names:good\n")
    with pytest.raises(ConfigError, match=r"more than one package gives .*'base': acme_names:good, reconciler"):
        backend("base", Usernames())


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", "cannot be loaded: RuntimeError: no LDAP server"),
        ("gone", "cannot be loaded: AttributeError"),
        ("lost", "cannot be loaded: ModuleNotFoundError"),
        ("nothing", "gives a NoneType that has no method 'usernames'"),
        ("halves", "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_a_plugin_that_does_not_work_is_named(name: str, says: str) -> None:
    with pytest.raises(ReconcileError) as error:
        backend(name, Usernames()).usernames([ADA], frozenset())
    assert f"{name!r} (" in error.value.message
    assert "of package acme-names) " in error.value.message
    assert says in error.value.message
    assert "Traceback" not in str(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "ada lovelace"}, "'ada lovelace': the name holds ' '"),
        ({"name": "-rf"}, "read as an option"),
        ({"name": ".."}, "starts with a dot"),
        ({"name": "1000"}, "read as a user ID"),
        ({"name": "a\n"}, "the name holds"),
        ({"name": "a" * 300}, "300 characters"),
        ({"name": 5}, "not made of texts"),
        ({"name": ""}, "failed: ValueError: a proposal has either"),
        ({"raw": {"ou1": "ada"}}, "a str is no Proposal"),
        ({"raw": {"ou9": Proposal("ada")}}, "'ou9', which is none of the offering users asked"),
        ({"raw": None}, "failed: TypeError"),
    ],
    ids=str,
)
def test_a_plugin_that_answers_nonsense_is_named(options: dict[str, object], says: str) -> None:
    with pytest.raises(ReconcileError, match="the username_management_backend 'answers'") as error:
        backend("answers", Usernames(options=options)).usernames([ADA], frozenset())
    assert says in error.value.message


@pytest.mark.usefixtures("plugin")
def test_a_plugin_cannot_give_somebody_the_account_of_another() -> None:
    """Only those people go without; all others get their names."""
    bob = Person("ou2", "u2")
    same = backend("answers", Usernames(options={"name": "ada"})).usernames([ADA, bob], frozenset())
    assert [p.username for p in same.values()] == ["", ""]
    assert same["ou1"].problem == 'The user name "ada" belongs to more than one person.'
    raw = {"ou1": Proposal("Root"), "ou2": Proposal("bob")}
    mixed = backend("answers", Usernames(options={"raw": raw}))
    assert mixed.usernames([ADA, bob], frozenset()) == {
        "ou1": Proposal(problem='The user name "Root" is reserved for the system.'),
        "ou2": Proposal("bob"),
    }
    assert "more than one person" in mixed.usernames([ADA, bob], frozenset({"BOB"}))["ou2"].problem


# ------------------------------------------------------------------ the configuration

FILE = """\
offerings:
  - name: A
    waldur_api_url: file:desired.yaml
    backend_type: slurm
    username_management_backend: generator
    backend_settings: {account_prefix: a_}
    backend_components: {}
reconcile:
  usernames:
    pattern: "{first_initial}{last_name:.6}"
    fallbacks:
      - "{login}"
      - "{email_name}"
    prefix: hpc_
    max_length: 16
    min_length: 3
    count_from: 1
    reserved: [guru]
    options: {server: ldap.example.org}
"""


def test_the_section_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(FILE)
    config = load(path)
    assert not config.warnings
    assert config.offerings[0].username_management_backend == "generator"
    chosen = config.reconcile.usernames
    assert backend("generator", chosen).usernames([ADA], frozenset()) == {"ou1": Proposal("hpc_alovela")}
    assert chosen.options == {"server": "ldap.example.org"}


@pytest.mark.parametrize("line", ["", 'username_management_backend: ""', "username_management_backend:"])
def test_no_backend_is_base(tmp_path: Path, line: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(FILE.replace("username_management_backend: generator", line))
    assert load(path).offerings[0].username_management_backend == "base"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("{first_initial}", "{nick}{x}", 10, "unknown fields 'nick', 'x'; known: first_name, last_name, first_initial"),
        ("{first_initial}", "{login.__class__}", 10, "unknown field 'login.__class__'"),
        ("{first_initial}", "{login[0]}", 10, "unknown field 'login[0]'"),
        ("{first_initial}", "{}", 10, "unknown field ''"),
        ("{first_initial}", "{login!r}", 10, "conversions like !r are not allowed"),
        ("{first_initial}", "{login:>9}", 10, "'>9' is no length; write {login:.6}"),
        ("{first_initial}", "{login:.0}", 10, "'.0' is no length"),
        ("{first_initial}", "{login:.{login}}", 10, "'.{login}' is no length"),
        ("{first_initial}", "{login:.٣}", 10, "'.٣' is no length"),
        ("{first_initial}", "{login}.", 10, "the text '.' holds what user names may not"),
        ("{first_initial}", "{{", 10, "the text '{' holds what user names may not"),
        ("{first_initial}", "{login", 10, "pattern"),
        ("{first_initial}{last_name:.6}", "guest", 10, "everybody would get the same name"),
        ("{first_initial}{last_name:.6}", "", 10, "everybody would get the same name"),
        ('"{first_initial}{last_name:.6}"', "{last_name}", 10, "must be in quotes"),
        ('"{email_name}"', '"{email}"', 13, "unknown field 'email'"),
        ("prefix: hpc_", "prefix: 9-x", 14, "'9-x' must begin with a letter"),
        ("prefix: hpc_", "prefix: HPC", 14, "'HPC' must begin with a letter"),
        ("max_length: 16", "max_length: 33", 15, "less than or equal to 32"),
        ("max_length: 16", "max_length: 4", 9, "prefix 'hpc_' leaves no room in max_length 4"),
        ("min_length: 3", "min_length: 17", 9, "min_length 17 is more than max_length 16"),
        ("min_length: 3", "min_length: 0", 16, "greater than or equal to 1"),
        ("count_from: 1", "count_from: -1", 17, "greater than or equal to 0"),
        ("reserved: [guru]", "reserved: guru", 18, "reserved"),
        ("prefix: hpc_", "prefx: hpc_", 14, "did you mean 'prefix'?"),
        ("generator", "[generator]", 5, "username_management_backend"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    path = tmp_path / "c.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as error:
        load(path)
    found = [text for text in str(error.value).splitlines() if text.startswith(f"{path}:{line}: ")]
    assert any(says in text for text in found), str(error.value)


@given(st.text(st.one_of(st.characters(), st.sampled_from("{}:.!_-"), st.sampled_from("login")), max_size=30))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        parts = parse(text)
    except ValueError as error:
        assert repr(text)[1:-1] in str(error)
        with pytest.raises(ValidationError):
            Usernames(pattern=text)
    else:
        assert "".join(p.text for p in parts).strip("abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
        assert {p.field for p in parts} - {""} <= set(FIELDS)
