from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0008_listens_on")]

    operations = [
        migrations.AddField("website", "sleep", models.CharField(blank=True, db_default="", default="", max_length=10)),
        migrations.AddField("website", "sleep_after_s", models.IntegerField(default=None, null=True)),
        migrations.AddField("website", "monitors_wake", models.BooleanField(db_default=False, default=False)),
    ]
