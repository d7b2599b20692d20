"""The admin of datasets and images. No page counts or loads all images."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import BigIntegerField, Func, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import cached_property

from catalog import services
from catalog.imaging.paths import UnsafePath
from catalog.limits import is_printable
from catalog.models import Dataset, DatasetRelation, Image, ImageLabel, ImageProfile
from catalog.storage.addresses import check_storage, find_address_problem
from catalog.storage.roots import resolve_dataset_root
from vocab.admin import HTTPS_URLS, TermAdmin, alias_inline
from vocab.admin_base.bounds import BoundedAdmin, BoundedInline
from vocab.admin_base.forms import OpenedForm, OpenedFormAdmin, has_changed
from vocab.models import Label, LabelAlias

COUNT_LIMIT = 10_000


class BoundedPaginator(Paginator):
    """Stops counting at COUNT_LIMIT; rows beyond it are reached by filtering."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return rows[:COUNT_LIMIT].count()


class BigModelAdmin(BoundedAdmin):
    """An admin for a table of millions of rows."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50


class ReadOnlyAdmin(BigModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Label)
class LabelAdmin(TermAdmin):
    inlines = (alias_inline(LabelAlias),)
    usage = {"images": None}

    def count_usage(self, aggregate: Any) -> Any:
        """The number of images with the label, summed over profiles."""
        ids = Func(
            OuterRef("pk"),
            template="ARRAY[%(expressions)s]",
            output_field=ArrayField(BigIntegerField()),
        )
        having = ImageProfile.objects.filter(label_ids__contains=ids).order_by()
        total = Func("num_images", function="sum", output_field=BigIntegerField())
        return Subquery(having.annotate(total=total).values("total"))


class DatasetForm(OpenedForm):
    def clean_title(self) -> str:
        title: str = self.cleaned_data["title"]
        if not is_printable(title):
            raise ValidationError("A title has no signs that cannot be seen.")
        return title

    def clean_source_url(self) -> str:
        url: str = self.cleaned_data["source_url"]
        if url and (problem := find_address_problem(url)):
            raise ValidationError(problem)
        return url

    def clean_local_path(self) -> str:
        local_path = self.cleaned_data["local_path"]
        if local_path:
            try:
                root = resolve_dataset_root(local_path)
                exists = root.is_dir()
            except UnsafePath as error:
                raise ValidationError(str(error)) from error
            except (OSError, ValueError) as error:
                raise ValidationError(f"This is not the path of a folder: {error}") from error
            if not exists:
                raise ValidationError(f"The folder {root} does not exist.")
        return local_path

    def clean_storage(self) -> str:
        try:
            return check_storage(self.cleaned_data["storage"])
        except ValueError as error:
            raise ValidationError(f"This is no storage: {error}") from error


class RelationForm(OpenedForm):
    def clean_other(self) -> Dataset:
        other: Dataset = self.cleaned_data["other"]
        if other.pk == self.instance.dataset_id:
            raise ValidationError("A dataset is not related to itself. Choose another one.")
        return other

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        kind, other = cleaned.get("kind"), cleaned.get("other")
        if kind and other and self.instance.dataset_id and not cleaned.get("DELETE"):
            try:
                services.refuse_circle(
                    kind=kind,
                    dataset=self.instance.dataset.slug,
                    other=other.slug,
                    relations=services.read_relations(),
                )
            except services.RelationCircle as error:
                self.add_error("other", f"{error} Choose another one, or remove that relation.")
        return cleaned


class RelationInline(BoundedInline):
    form = RelationForm
    model = DatasetRelation
    fk_name = "dataset"
    autocomplete_fields = ("other",)
    extra = 0


@admin.register(Dataset)
class DatasetAdmin(OpenedFormAdmin):
    form = DatasetForm
    inlines = (RelationInline,)
    list_display = ("title", "slug", "area", "license", "year", "num_images", "is_active")
    list_filter = (
        "is_active",
        "is_featured",
        "survey",
        "access",
        "is_synthetic",
        "modalities",
        "area",
        "license",
    )
    list_select_related = ("area", "license")
    search_fields = ("title", "slug", "doi")
    autocomplete_fields = ("area", "other_areas", "license", "modalities", "task_types", "labels",
                           "tags")  # fmt: skip
    prepopulated_fields = {"slug": ("title",)}
    formfield_overrides = HTTPS_URLS
    readonly_fields = ("created_at", "updated_at")
    actions = ("activate", "deactivate")
    list_per_page = 50

    def lock(self, obj: Dataset) -> None:
        services.claim_dataset(dataset=obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not has_changed(form, formsets):
            return
        if change and "storage" in form.changed_data:
            services.move_storage(dataset=form.instance, before=form.initial["storage"])
        services.refresh_dataset(dataset=form.instance, area_changed="area" in form.changed_data)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # The slug is part of URLs and archives, so it never changes.
        return (*self.readonly_fields, "slug") if obj else self.readonly_fields

    def get_actions(self, request: HttpRequest) -> Any:
        """No bulk deletion: one click would delete many datasets and all their images."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Shows the number of images instead of a list of them."""
        counts: dict[Any, int] = {"datasets": len(objs)}
        counts["images"] = Image.objects.filter(dataset__in=objs).count()
        return [str(obj) for obj in objs], counts, set(), []

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except services.StillInUse as error:
            return _refuse(self, request, error)

    def delete_model(self, request: HttpRequest, obj: Dataset) -> None:
        services.delete_dataset(dataset=obj)

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, datasets: Any) -> None:
        changed = services.set_datasets_active(datasets=datasets, is_active=True)
        self.message_user(request, f"{changed} activated.")

    @admin.action(description="Deactivate: hide with all their images", permissions=["change"])
    def deactivate(self, request: HttpRequest, datasets: Any) -> None:
        changed = services.set_datasets_active(datasets=datasets, is_active=False)
        self.message_user(request, f"{changed} deactivated.")


def _refuse(
    model_admin: admin.ModelAdmin, request: HttpRequest, error: services.StillInUse
) -> HttpResponse:
    model_admin.message_user(request, str(error), messages.ERROR)
    return redirect(request.path.removesuffix("delete/") + "change/")


class ImageLabelInline(BoundedInline):
    form = OpenedForm
    model = ImageLabel
    autocomplete_fields = ("label",)
    extra = 0


@admin.register(Image)
class ImageAdmin(OpenedFormAdmin, BigModelAdmin):
    list_display = ("source_id", "dataset", "modality", "sex", "age_years", "files")
    list_filter = ("profile__availability", "modality", "sex")
    list_select_related = ("dataset", "modality")
    # Only prefixes, which the indexes serve.
    search_fields = ("source_id__startswith",)
    search_help_text = "The beginning of a source id or of a dataset's slug."
    ordering = ("pk",)
    autocomplete_fields = ("dataset", "modality", "area", "license", "view")
    # What importers read from the file itself cannot be edited.
    readonly_fields = (
        "file_path", "num_files", "size_bytes", "sha256", "crc32", "mtime_ns", "width", "height",
        "removed_at", "created_at", "updated_at",
    )  # fmt: skip
    inlines = (ImageLabelInline,)

    def find_words(self, queryset: QuerySet, words: Sequence[str]) -> QuerySet:
        for word in words:
            datasets = Dataset.objects.filter(slug__startswith=word).values_list("pk", flat=True)
            is_of_dataset = Q(dataset__in=list(datasets))
            queryset = queryset.filter(Q(source_id__startswith=word) | is_of_dataset)
        return queryset

    @admin.display(description="files")
    def files(self, image: Image) -> str:
        return image.availability.short_label

    def lock(self, obj: Image) -> None:
        services.claim_dataset(dataset=obj.dataset)

    def save_model(self, request: HttpRequest, obj: Image, form: Any, change: bool) -> None:
        if not change:
            self.lock(obj)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not has_changed(form, formsets):
            return
        services.refresh_images(image_ids=[form.instance.pk])

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "dataset", "source_id") if obj else self.readonly_fields

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except services.StillInUse as error:
            return _refuse(self, request, error)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Labels are deleted with their images and need no permissions of their own."""
        counts = {"images": len(objs)}
        counts["image labels"] = ImageLabel.objects.filter(image__in=objs).count()
        return [str(obj) for obj in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Image) -> None:
        services.delete_images(image_ids=[obj.pk])

    def response_action(self, request: HttpRequest, queryset: QuerySet, *args: Any) -> Any:
        try:
            return super().response_action(request, queryset, *args)
        except services.StillInUse as error:
            self.message_user(request, str(error), messages.ERROR)
            return redirect(request.get_full_path())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        services.delete_images(image_ids=queryset.values_list("pk", flat=True))


@admin.register(ImageLabel)
class ImageLabelAdmin(ReadOnlyAdmin):
    """For lookups only; labels are edited with their image."""

    list_display = ("image", "label", "finding", "confidence")
    list_filter = ("finding",)
    list_select_related = ("image", "label")
    search_fields = ("image__source_id__startswith",)
    search_help_text = "The code of a label, or the beginning of an image's source id."
    raw_id_fields = ("image", "label")
    ordering = ("pk",)

    def find_words(self, queryset: QuerySet, words: Sequence[str]) -> QuerySet:
        for word in words:
            if label := Label.objects.filter(code=word).first():
                queryset = queryset.filter(label=label)
            else:
                queryset = queryset.filter(image__source_id__startswith=word)
        return queryset


@admin.register(ImageProfile)
class ImageProfileAdmin(ReadOnlyAdmin):
    """For lookups only: derived data, written by `catalog.profiles.building`."""

    list_display = ("pk", "dataset", "area", "modality", "sex", "age_band", "view",
                    "availability", "num_images")  # fmt: skip
    list_select_related = ("dataset", "area", "modality", "view")
    list_filter = ("availability", "sex", "modality")
    ordering = ("pk",)
