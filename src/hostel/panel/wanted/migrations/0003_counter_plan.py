from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wanted", "0002_tombstone_epoch")]

    operations = [migrations.AddField("Counter", "plan", models.JSONField(db_default={}, default=dict))]
