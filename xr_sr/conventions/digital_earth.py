"""Digital Earth Africa and Australia: measurements such as "nbart_coastal_aerosol", "nir_2" and "narrow_nir"."""

from .record import Convention

# "swir1", "swir2" and "swir3" are left out: they name another band in the next catalog.
DIGITAL_EARTH = Convention(
    name="Digital Earth",
    url="https://docs.digitalearthafrica.org/en/latest/data_specs/Sentinel-2_Level-2A_specs.html",
    bands={"coastal_aerosol": "B01", "nir_1": "B08", "nir_2": "B8A", "nir_narrow": "B8A", "narrow_nir": "B8A"},
)
