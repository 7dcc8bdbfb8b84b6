import time
from typing import Any

from django.db import migrations, models


def start_epoch(apps: Any, schema_editor: Any) -> None:
    """The epoch is when this database was made."""
    apps.get_model("wanted", "Counter").objects.create(epoch=int(time.time()))


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("epoch", models.BigIntegerField()),
                ("revision", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("tenant", "Tenant"), ("website", "Website")], max_length=10)),
                ("name", models.CharField(max_length=253)),
                ("revision", models.BigIntegerField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("kind", "name"), name="one_tombstone_a_name")],
            },
        ),
        migrations.RunPython(start_epoch, migrations.RunPython.noop),
    ]
