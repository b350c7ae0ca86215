"""How Sphinx builds the site: `nox -s site`, then open site/index.html."""

from importlib import import_module, metadata
from inspect import isclass, isfunction

PACKAGES = (
    "voltpay_core",
    "voltpay_adapters",
    "voltpay_adapters.kafka",
    "voltpay_adapters.confluent",
    "voltpay_adapters.postgres",
    "voltpay_adapters.local",
    "voltpay_adapters.testing",
    "voltpay_adapters.testing.contracts",
)

project = "Voltpay payment writer"
version = release = metadata.version("voltpay")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
highlight_language = "text"

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

autodoc_default_options = {"members": True, "exclude-members": "__weakref__"}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
python_use_unqualified_type_names = True

# Every name in a signature has its own entry, except those of other projects and of the inside.
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(.*\.)?(Decimal|datetime|timedelta|Event|Connection|Callable|Collection)"),
    ("py:.*", r"(.*\.)?(Iterable|Iterator|Mapping|Sequence|AbstractContextManager)"),
    ("py:.*", r"kafka\..*"),
    ("py:.*", r"(confluent_kafka|cimpl)\..*"),
    ("py:.*", r"(.*\.)?(E|T|Host|Session|Tracer|KafkaTopicAdmin|ConfluentTopicAdmin)"),
]

# A public name belongs to the package that exports it, not to the module that defines it.
for package in map(import_module, PACKAGES):
    for name in package.__all__:
        exported = getattr(package, name)
        if isclass(exported) or isfunction(exported):
            exported.__module__ = package.__name__
