"""The vocabularies: every term has a stable code, a name, and aliases."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from vocab.querysets import TermQuerySet
from vocab.text import normalize, normalize_label

CODE_PATTERN = r"^[a-z0-9]+([.-][a-z0-9]+)*$"
validate_code = RegexValidator(
    CODE_PATTERN,
    "A code has lower-case letters and digits, parted by single dashes or dots: cc-by-4.0",
)


class Term(models.Model):
    """A term of a vocabulary.

    ``code`` is part of URLs, archives and stored filters and never changes; ``name`` is shown.
    """

    code = models.CharField(
        max_length=64,
        unique=True,
        validators=[validate_code],
        help_text="Short and stable; it stands in URLs and archives.",
    )
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    is_active = models.BooleanField(
        default=True, help_text="An inactive term is hidden from search, filters and pages."
    )
    # What load_vocab last wrote. A field that now differs from it was changed by a curator.
    shipped_json = models.JSONField(default=dict, editable=False)

    objects = TermQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = [Lower("name"), "code"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(code__regex=CODE_PATTERN),
                name="%(class)s_code_is_a_slug",
            ),
            models.CheckConstraint(condition=~models.Q(name=""), name="%(class)s_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Alias(models.Model):
    """Another spelling of a term; ``key`` is its normal form, by which it is looked up."""

    text = models.CharField("alias", max_length=120)
    key = models.CharField(max_length=160, editable=False)

    make_key: Callable[[str], str] = staticmethod(normalize)

    class Meta:
        abstract = True
        ordering = ["text"]
        verbose_name_plural = "aliases"
        constraints = [
            models.CheckConstraint(condition=~models.Q(key=""), name="%(class)s_has_a_key"),
            models.UniqueConstraint(fields=["key"], name="%(class)s_means_one_term"),
        ]

    def __str__(self) -> str:
        return self.text

    def clean(self) -> None:
        """Set the key; refuse an alias of another term."""
        self.key = self.make_key(self.text)
        if not normalize(self.text):
            raise ValidationError({"text": "An alias needs at least one letter or digit."})
        if taken := self.find_clash():
            raise ValidationError({"text": f"“{self.text}” is already an alias of {taken}."})

    def find_clash(self) -> "Term | None":
        """The term that already has this alias, if only one term may have it."""
        aliases: Any = type(self)._default_manager
        other = aliases.filter(key=self.key).exclude(pk=self.pk).select_related("term").first()
        return other.term if other else None


class HierarchicalTerm(Term):
    """A term that may have a broader one; a filter by the broader one includes it."""

    broader: Any = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="narrower",
        verbose_name="broader term",
        help_text="A filter by the broader term finds this one too: Head is broader than Brain.",
    )

    class Meta(Term.Meta):
        abstract = True
        constraints = [
            *Term.Meta.constraints,
            models.CheckConstraint(
                condition=models.Q(broader__isnull=True) | ~models.Q(broader=models.F("id")),
                name="%(class)s_is_not_narrower_than_itself",
            ),
        ]

    def clean(self) -> None:
        """Refuse a broader term that is this one or narrower than it."""
        super().clean()
        if path := self.find_cycle():
            raise ValidationError({"broader": describe_cycle(path)})

    def find_cycle(self) -> "list[HierarchicalTerm]":
        """This term, its broader term and so on up to this term again; empty without a cycle."""
        path, seen = [self], {self.pk}
        above = self.broader
        while above is not None:
            path.append(above)
            if above.pk in seen:
                return path if above.pk == self.pk else []
            seen.add(above.pk)
            above = above.broader
        return []


def describe_cycle(path: "list[HierarchicalTerm]") -> str:
    """Why the first term of a cycle cannot have its broader term, and what to do."""
    names = [f"“{term.name}”" for term in path]
    steps = " and ".join(f"{low} below {high}" for low, high in pairwise(names))
    return f"This is a circle, with {steps}. Choose a term that is not below {names[0]}, or none."


class Kind(models.TextChoices):
    """What the objects of a modality are; only pictures, and series of them, can be looked at."""

    PICTURE = "picture", "Pictures and series"
    SEGMENTATION = "segmentation", "Segmentations"
    ANNOTATION = "annotation", "Annotations"
    REPORT = "report", "Reports"
    REGISTRATION = "registration", "Registrations"
    PLAN = "plan", "Radiotherapy plans and records"
    DOSE = "dose", "Radiotherapy doses"
    WAVEFORM = "waveform", "Waveforms"
    OTHER = "other", "Other objects"


class Modality(HierarchicalTerm):
    """How the image was made; the code is the DICOM modality (0008,0060) in lower case."""

    kind = models.CharField(
        max_length=12,
        choices=Kind,
        default=Kind.PICTURE,
        help_text="What its objects are. Only pictures and series are shown unless asked for.",
    )

    class Meta(HierarchicalTerm.Meta):
        constraints = [
            *HierarchicalTerm.Meta.constraints,
            models.CheckConstraint(
                condition=models.Q(kind__in=Kind.values), name="%(class)s_kind_is_known"
            ),
        ]
        verbose_name_plural = "modalities"


class AnatomicalArea(HierarchicalTerm):
    """The part of the body that an image shows."""


class ViewPosition(HierarchicalTerm):
    """From where the image was taken; DICOM's View Position (0018,5101), in lower case."""


class TaskType(Term):
    """What a model is trained to do with a dataset."""


class Tag(Term):
    """Any other property of a dataset that people look for."""


# The code of the inactive licence of images whose source states one in words that are not known.
NOT_STATED = "not-stated"


class License(Term):
    """The terms under which a dataset is published; codes are SPDX identifiers where they exist."""

    allows_commercial_use = models.BooleanField(
        default=False, help_text="Whether the licence permits commercial use."
    )
    url = models.URLField("text of the licence", blank=True)


class Label(Term):
    """A finding that an image can carry."""


class ModalityAlias(Alias):
    """Only here an alias may mean several terms: "microscopy" is SM, GM and CFM."""

    term = models.ForeignKey(Modality, models.CASCADE, related_name="aliases")

    class Meta(Alias.Meta):
        constraints = [
            models.CheckConstraint(condition=~models.Q(key=""), name="%(class)s_has_a_key"),
            models.UniqueConstraint(fields=["key", "term"], name="%(class)s_once_a_term"),
        ]

    def find_clash(self) -> Term | None:
        same = ModalityAlias.objects.filter(key=self.key, term_id=self.term_id)
        return self.term if same.exclude(pk=self.pk).exists() else None


class AnatomicalAreaAlias(Alias):
    term = models.ForeignKey(AnatomicalArea, models.CASCADE, related_name="aliases")


class ViewPositionAlias(Alias):
    term = models.ForeignKey(ViewPosition, models.CASCADE, related_name="aliases")


class TaskTypeAlias(Alias):
    term = models.ForeignKey(TaskType, models.CASCADE, related_name="aliases")


class TagAlias(Alias):
    term = models.ForeignKey(Tag, models.CASCADE, related_name="aliases")


class LicenseAlias(Alias):
    term = models.ForeignKey(License, models.CASCADE, related_name="aliases")


class LabelAlias(Alias):
    """Labels are looked up by ``text``: the key of an older row may lack the signs."""

    make_key = staticmethod(normalize_label)

    term = models.ForeignKey(Label, models.CASCADE, related_name="aliases")
    # Protected, as an alias that has lost its area would hold in all images.
    area = models.ForeignKey(
        AnatomicalArea,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="label_aliases",
        verbose_name="only in images of",
        help_text="An import reads the word as this label only in images of this area, or of one "
        "that is part of it or that it is part of. Empty: in all images.",
    )

    class Meta(Alias.Meta):
        constraints = [
            models.CheckConstraint(condition=~models.Q(key=""), name="%(class)s_has_a_key"),
            models.UniqueConstraint(
                fields=["key", "area"], nulls_distinct=False, name="%(class)s_means_one_term"
            ),
        ]

    def find_clash(self) -> Term | None:
        same = LabelAlias.objects.filter(key=self.key, area_id=self.area_id)
        other = same.exclude(pk=self.pk).select_related("term").first()
        return other.term if other else None


class VocabularyVersion(models.Model):
    """One row with a version that triggers raise with every change of a visible term or alias.

    Vocabularies in memory are valid as long as this version does not change.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    version = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="vocabularyversion_is_one_row"),
        ]

    def __str__(self) -> str:
        return str(self.version)
