import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0004_https")]

    operations = [
        migrations.CreateModel(
            name="StaticMapping",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.TextField()),
                ("path", models.TextField()),
                (
                    "website",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="static_files",
                        to="websites.website",
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
    ]
