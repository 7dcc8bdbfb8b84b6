from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0007_more_settings")]

    operations = [
        migrations.AddField(
            "website", "listens_on", models.CharField(db_default="socket", default="socket", max_length=10)
        ),
    ]
