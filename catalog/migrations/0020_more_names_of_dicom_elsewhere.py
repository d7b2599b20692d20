from django.db import migrations

# What lies elsewhere and may be DICOM, but has another name than its own, was not counted. An
# import counts it from now on; here for those before.
# The pattern is that of `catalog.querysets.MAY_BE_DICOM` at this time.
MAY_BE_DICOM = (
    r"^(?!s3://(idc-open-data|idc-open-data-two|idc-open-data-cr)/)"
    r"(?!.*\.(avi|avif|bif|bmp|csv|czi|dib|gif|h5|hdf5|hdr|htm|html|isyntax|j2c|"
    r"j2k|jfif|jp2|jpc|jpe|jpeg|jpf|jpg|jpx|json|jsonl|mat|md|mgh|mgz|mha|mhd|"
    r"mkv|mnc|mov|mp4|mrxs|ndpi|ndpis|nhdr|nii|nii\.gz|npy|npz|nrrd|parquet|pbm|"
    r"pdf|pgm|png|pnm|ppm|qptiff|scn|stl|svg|svs|svslide|tif|tiff|tsv|txt|vms|"
    r"vmu|vsi|webm|webp|xml|zarr)/?([?#]|$))."
)
NOTE_UNCHECKED = rf"""
    UPDATE catalog_dataset dataset
       SET imported_json = jsonb_set(imported_json, '{{identifying}}',
               '{{"files": 0, "burned_in": 0, "attributes": {{}}}}'
               || coalesce(imported_json -> 'identifying', '{{}}')
               || jsonb_build_object('unchecked', found.files))
      FROM (SELECT dataset_id, count(*) AS files
              FROM catalog_image
             WHERE removed_at IS NULL
               AND CASE WHEN file_path = '' THEN remote_url ~* '{MAY_BE_DICOM}'
                        ELSE identifying IS NULL AND metadata_json ? 'TransferSyntaxUID' END
             GROUP BY dataset_id
            HAVING bool_or(file_path = '')) found
     WHERE dataset.id = found.dataset_id
"""  # noqa: S608 - our own words  # nosec


class Migration(migrations.Migration):
    dependencies = [("catalog", "0019_dicom_elsewhere_is_not_checked")]

    operations = [migrations.RunSQL(NOTE_UNCHECKED, migrations.RunSQL.noop)]
