from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from vocab.lookup import VOCABULARIES
from vocab.models import Alias, LabelAlias
from vocab.spellings import has_areas


class Command(BaseCommand):
    help = (
        "List the terms of the vocabularies, or of one of them: code, name and aliases. Any of "
        "them may be written in a dataset.toml and in tables."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("vocabulary", nargs="?", choices=list(VOCABULARIES))

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["vocabulary"]
        for name in [chosen] if chosen else VOCABULARIES:
            self._list_terms(name)

    def _list_terms(self, vocabulary: str) -> None:
        model: Any = VOCABULARIES[vocabulary]
        terms = model._default_manager.active().prefetch_related("aliases").order_by("code")
        if has_areas(model):
            terms = terms.prefetch_related("aliases__area")
        self.stdout.write(f"{vocabulary}: {len(terms):,} terms")
        if not terms:
            self.stdout.write("  none yet: manage.py load_vocab loads the shipped ones")
        for term in terms:
            aliases = sorted(map(_write, term.aliases.all()))
            listed = f"  ({' | '.join(aliases)})" if aliases else ""
            self.stdout.write(f"  {term.code:<24}  {term.name}{listed}")


def _write(alias: Alias) -> str:
    """With the code of the area in whose images only it holds."""
    area = alias.area if isinstance(alias, LabelAlias) else None
    return f"{alias.text}, only in images of {area.code}" if area else alias.text
