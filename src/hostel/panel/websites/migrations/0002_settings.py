from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("websites", "0001_initial")]

    operations = [
        migrations.AddField(
            "website", "reload_strategy", models.CharField(db_default="overlap", default="overlap", max_length=10)
        ),
        migrations.AddField("website", "start_deadline_s", models.FloatField(default=None, null=True)),
        migrations.AddField("website", "drain_s", models.FloatField(db_default=30.0, default=30.0)),
        migrations.AddField("website", "websocket_drain_s", models.FloatField(db_default=30.0, default=30.0)),
        migrations.AddField("website", "grace_s", models.FloatField(db_default=10.0, default=10.0)),
        migrations.AddField("website", "ws_spread_s", models.FloatField(db_default=10.0, default=10.0)),
        migrations.AddField("website", "read_timeout_s", models.IntegerField(db_default=300, default=300)),
        migrations.AddField("website", "websocket_timeout_s", models.IntegerField(db_default=3600, default=3600)),
        migrations.AddField("website", "always_on", models.BooleanField(db_default=False, default=False)),
        migrations.AddField("website", "expose_token", models.BooleanField(db_default=False, default=False)),
    ]
