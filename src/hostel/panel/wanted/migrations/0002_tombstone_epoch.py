from typing import Any

from django.db import migrations, models


def set_epoch(apps: Any, schema_editor: Any) -> None:
    """Tombstones so far are of the one epoch that this database has had."""
    counter = apps.get_model("wanted", "Counter").objects.get()
    apps.get_model("wanted", "Tombstone").objects.update(epoch=counter.epoch)


class Migration(migrations.Migration):
    dependencies = [("wanted", "0001_initial")]

    operations = [
        migrations.AddField("Tombstone", "epoch", models.BigIntegerField(db_default=0, default=0)),
        migrations.RunPython(set_epoch, migrations.RunPython.noop),
    ]
