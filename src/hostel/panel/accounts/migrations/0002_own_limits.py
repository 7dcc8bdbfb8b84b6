from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.AddField("User", "own_limits", models.JSONField(db_default={}, default=dict))]
