import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Product',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('name', models.TextField()),
                ('code', models.TextField()),
                ('price', models.DecimalField(decimal_places=2, max_digits=12)),
                ('added_by', models.UUIDField(null=True)),
                ('added_on', models.DateTimeField()),
            ],
            options={
                'db_table': 'products',
                'indexes': [models.Index(fields=['name', 'id'], name='products_name')],
                'constraints': [models.UniqueConstraint(fields=('code',), name='products_code')],
            },
        ),
    ]
